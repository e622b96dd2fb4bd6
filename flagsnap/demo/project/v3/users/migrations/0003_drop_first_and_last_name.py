from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("users", "0002_full_name")]

    operations = [
        migrations.RemoveField("user", "first_name"),
        migrations.RemoveField("user", "last_name"),
    ]
