from django.db import models


class Project(models.Model):
    organisation = models.ForeignKey("organisations.Organisation", models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200)
    hide_disabled = models.BooleanField(default=False)

    class Meta:
        unique_together = [("organisation", "name")]
