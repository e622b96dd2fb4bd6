from django.db import models


class Segment(models.Model):
    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="segments")
    feature = models.ForeignKey("features.Feature", models.CASCADE, null=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    rules = models.JSONField(default=list)


class FeatureSegment(models.Model):
    feature = models.ForeignKey("features.Feature", models.CASCADE)
    segment = models.ForeignKey(Segment, models.CASCADE)
    environment = models.ForeignKey("environments.Environment", models.CASCADE)
    priority = models.PositiveIntegerField(default=0)
