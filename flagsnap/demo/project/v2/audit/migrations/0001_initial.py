from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("features", "0002_tag"),
        ("organisations", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "AuditEntry",
            [
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("message", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("author", models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)),
                ("feature", models.ForeignKey("features.feature", models.SET_NULL, null=True)),
                ("organisation", models.ForeignKey("organisations.organisation", models.CASCADE)),
            ],
        ),
    ]
