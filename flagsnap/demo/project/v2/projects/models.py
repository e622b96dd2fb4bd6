from django.db import models


class Project(models.Model):
    organisation = models.ForeignKey("organisations.Organisation", models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200)
    hide_disabled_flags = models.BooleanField(default=False)
    stale_after_days = models.PositiveIntegerField(default=30)

    class Meta:
        unique_together = [("organisation", "name")]
