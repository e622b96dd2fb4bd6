"""Use the service as people do in a minute: `python manage.py traffic`."""

import random

from audit.models import AuditEntry
from django.core.management.base import BaseCommand
from django.db import transaction
from features.models import Feature, FeatureState, Tag
from projects.models import Project
from users.models import User

TOGGLES = 40


class Command(BaseCommand):
    help = __doc__

    @transaction.atomic
    def handle(self, **_options):
        chance = random.Random(2)
        author = User.objects.earliest("id")
        for state in chance.sample(list(FeatureState.objects.select_related("feature__project")), TOGGLES):
            state.enabled = not state.enabled
            state.save()
            self.note(author, state.feature, "toggled")
        for project in Project.objects.all():
            number = Feature.objects.filter(project=project).count()
            feature = Feature.objects.create(project=project, name=f"new_idea_{number}", owner=author)
            feature.labels.add(Tag.objects.get_or_create(project=project, label="idea")[0])
            self.note(author, feature, "created")
        self.stdout.write(f"{TOGGLES} flags toggled, {Project.objects.count()} features created")

    def note(self, author, feature, done):
        AuditEntry.objects.create(
            organisation_id=feature.project.organisation_id,
            author=author,
            feature=feature,
            message=f"{done} {feature.name}",
        )
