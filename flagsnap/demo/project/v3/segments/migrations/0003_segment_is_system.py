from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0002_segments_of_features")]

    operations = [
        migrations.AddField("segment", "is_system", models.BooleanField(default=False)),
    ]
