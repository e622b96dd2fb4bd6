from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0001_initial"), ("features", "0004_lifecycle")]

    operations = [
        migrations.AddField("segment", "feature", models.ForeignKey("features.feature", models.CASCADE, null=True)),
        migrations.AddField("segment", "description", models.TextField(blank=True, default=""), preserve_default=False),
    ]
