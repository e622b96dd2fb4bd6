from django.db import models


class Feature(models.Model):
    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="features")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    tags = models.CharField(max_length=500, blank=True, help_text="Separated by commas.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        unique_together = [("project", "name")]


class FeatureState(models.Model):
    feature = models.ForeignKey(Feature, models.CASCADE, related_name="states")
    environment = models.ForeignKey("environments.Environment", models.CASCADE)
    enabled = models.BooleanField(default=False)
    value = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        unique_together = [("feature", "environment")]
