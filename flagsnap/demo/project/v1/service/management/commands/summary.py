"""What the service holds: `python manage.py summary`."""

from django.core.management.base import BaseCommand
from environments.models import Identity
from features.models import Feature, FeatureState
from users.models import User


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_options):
        on = FeatureState.objects.filter(enabled=True).count()
        users, features, identities = (model.objects.count() for model in (User, Feature, Identity))
        self.stdout.write(f"{users} users, {features} features, {on} flags on, {identities} identities")
