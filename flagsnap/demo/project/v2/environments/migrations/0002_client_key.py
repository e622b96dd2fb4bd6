from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("environments", "0001_initial")]

    operations = [
        migrations.RenameField("environment", "api_key", "client_key"),
        migrations.DeleteModel("LegacyWebhook"),
    ]
