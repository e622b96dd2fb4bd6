"""Fill the service as if it had been used for a while: `python manage.py fill`."""

import random
from itertools import product

from django.core.management.base import BaseCommand
from django.db import transaction
from environments.models import Environment, Identity, LegacyWebhook
from features.models import Feature, FeatureState
from organisations.models import Membership, Organisation
from projects.models import Project
from segments.models import FeatureSegment, Segment
from users.models import User

ORGANISATIONS = {"Acme": ["shop", "warehouse"], "Globex": ["banking", "insurance"], "Initech": ["reports"]}
ENVIRONMENTS = ["development", "staging", "production"]
PEOPLE = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Barbara Liskov", "Edsger Dijkstra", "Radia Perlman"]
WHAT = ["checkout", "search", "login", "basket", "invoice", "profile", "export", "chat"]
HOW = ["dark_mode", "beta", "fast", "v2", "rollout", "killswitch", "trial"]
TAGS = ["frontend", "backend", "experiment", "permanent", "mobile"]
COUNTRIES = ["DE", "FR", "GB", "IN", "US"]
IDENTITIES_PER_ENVIRONMENT = 400


class Command(BaseCommand):
    help = __doc__

    @transaction.atomic
    def handle(self, **_options):
        self.random = random.Random(1)
        users = User.objects.bulk_create(self.user(name) for name in PEOPLE)
        for name, projects in ORGANISATIONS.items():
            organisation = Organisation.objects.create(name=name)
            Membership.objects.bulk_create(
                Membership(organisation=organisation, user=user, role="USER") for user in users
            )
            for project in projects:
                self.fill(Project.objects.create(organisation=organisation, name=project))

    def user(self, name):
        first, last = name.split()
        return User(email=f"{first.lower()}@example.com", first_name=first, last_name=last, password="!")

    def fill(self, project):
        environments = Environment.objects.bulk_create(
            Environment(project=project, name=name, api_key=f"{self.random.getrandbits(128):032x}")
            for name in ENVIRONMENTS
        )
        features = Feature.objects.bulk_create(
            Feature(project=project, name=f"{what}_{how}", tags=self.tags()) for what, how in product(WHAT, HOW)
        )
        segments = Segment.objects.bulk_create(
            Segment(project=project, name=f"{what} in {country}", rules=[{"country": country}])
            for what, country in product(WHAT, COUNTRIES)
        )
        for environment in environments:
            self.use(environment, features, segments)

    def use(self, environment, features, segments):
        LegacyWebhook.objects.create(environment=environment, url="https://hooks.example.com/flags")
        FeatureState.objects.bulk_create(
            FeatureState(feature=feature, environment=environment, enabled=self.random.choice([True, False]))
            for feature in features
        )
        FeatureSegment.objects.bulk_create(
            FeatureSegment(feature=feature, segment=segment, environment=environment)
            for feature, segment in zip(features, segments, strict=False)
        )
        Identity.objects.bulk_create(
            Identity(
                environment=environment,
                identifier=f"customer-{number}",
                traits={"country": self.random.choice(COUNTRIES), "visits": self.random.randrange(100)},
            )
            for number in range(IDENTITIES_PER_ENVIRONMENT)
        )

    def tags(self):
        return ",".join(sorted(self.random.sample(TAGS, self.random.randrange(3))))
