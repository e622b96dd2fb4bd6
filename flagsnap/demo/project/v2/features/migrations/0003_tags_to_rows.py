from django.db import migrations


def split(apps, schema_editor):
    tag_model = apps.get_model("features", "Tag")
    for feature in apps.get_model("features", "Feature").objects.exclude(tags=""):
        for label in feature.tags.split(","):
            tag, _ = tag_model.objects.get_or_create(project_id=feature.project_id, label=label)
            feature.labels.add(tag)


def join(apps, schema_editor):
    for feature in apps.get_model("features", "Feature").objects.prefetch_related("labels"):
        feature.tags = ",".join(sorted(tag.label for tag in feature.labels.all()))
        feature.save(update_fields=["tags"])


class Migration(migrations.Migration):
    dependencies = [("features", "0002_tag")]

    operations = [migrations.RunPython(split, join)]
