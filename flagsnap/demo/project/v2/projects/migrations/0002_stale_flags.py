from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0001_initial")]

    operations = [
        migrations.RenameField("project", "hide_disabled", "hide_disabled_flags"),
        migrations.AddField("project", "stale_after_days", models.PositiveIntegerField(default=30)),
    ]
