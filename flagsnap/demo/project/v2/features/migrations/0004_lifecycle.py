from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("features", "0003_tags_to_rows"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveField("feature", "tags"),
        migrations.AddField(
            "feature", "owner", models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
        ),
        migrations.AddField("feature", "is_archived", models.BooleanField(default=False)),
    ]
