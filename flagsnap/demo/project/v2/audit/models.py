from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    organisation = models.ForeignKey("organisations.Organisation", models.CASCADE)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    feature = models.ForeignKey("features.Feature", models.SET_NULL, null=True)
    message = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
