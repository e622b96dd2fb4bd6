from django.db import models


class Environment(models.Model):
    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="environments")
    name = models.CharField(max_length=200)
    api_key = models.CharField(max_length=40, unique=True)


class Identity(models.Model):
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="identities")
    identifier = models.CharField(max_length=200)
    traits = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        unique_together = [("environment", "identifier")]


class LegacyWebhook(models.Model):
    environment = models.ForeignKey(Environment, models.CASCADE)
    url = models.URLField()
