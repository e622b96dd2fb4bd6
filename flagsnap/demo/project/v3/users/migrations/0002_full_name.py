from django.db import migrations, models
from django.db.models import Value
from django.db.models.functions import Concat


def merge(apps, schema_editor):
    apps.get_model("users", "User").objects.update(full_name=Concat("first_name", Value(" "), "last_name"))


class Migration(migrations.Migration):
    dependencies = [("users", "0001_initial")]

    operations = [
        migrations.AddField("user", "full_name", models.CharField(max_length=201, default=""), preserve_default=False),
        migrations.RunPython(merge),  # where a full name was cut cannot be known afterwards: there is no way back
    ]
