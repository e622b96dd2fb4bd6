from django.conf import settings
from django.db import models


class Tag(models.Model):
    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="tags")
    label = models.CharField(max_length=100)

    class Meta:
        unique_together = [("project", "label")]


class Feature(models.Model):
    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="features")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    labels = models.ManyToManyField(Tag, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    is_archived = models.BooleanField(default=False)
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
