from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the table is large: CREATE INDEX CONCURRENTLY

    dependencies = [("environments", "0002_client_key")]

    operations = [
        AddIndexConcurrently("identity", models.Index(fields=["identifier"], name="identity_lookup")),
    ]
