from django.db import migrations

SPLIT = """
    INSERT INTO features_tag (project_id, label)
    SELECT DISTINCT project_id, label FROM features_feature, unnest(string_to_array(tags, ',')) AS label;
    INSERT INTO features_feature_labels (feature_id, tag_id)
    SELECT feature.id, tag.id
    FROM features_feature AS feature
    JOIN features_tag AS tag
        ON tag.project_id = feature.project_id AND tag.label = ANY (string_to_array(feature.tags, ','));
"""
JOIN = """
    UPDATE features_feature AS feature
    SET tags = coalesce(
        (
            SELECT string_agg(tag.label, ',' ORDER BY tag.label)
            FROM features_feature_labels AS labelled
            JOIN features_tag AS tag ON tag.id = labelled.tag_id
            WHERE labelled.feature_id = feature.id
        ),
        ''
    );
"""


class Migration(migrations.Migration):
    dependencies = [("features", "0002_tag")]

    operations = [migrations.RunSQL(SPLIT, JOIN)]
