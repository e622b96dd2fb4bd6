from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("features", "0001_initial"), ("projects", "0002_stale_flags")]

    operations = [
        migrations.CreateModel(
            "Tag",
            [
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("label", models.CharField(max_length=100)),
                ("project", models.ForeignKey("projects.project", models.CASCADE, related_name="tags")),
            ],
            options={"unique_together": {("project", "label")}},
        ),
        migrations.AddField("feature", "labels", models.ManyToManyField("features.tag", blank=True)),
    ]
