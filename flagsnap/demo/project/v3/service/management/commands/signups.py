"""Let new users sign up: `python manage.py signups`."""

from django.core.management.base import BaseCommand
from users.models import User

NEW = ["Margaret Hamilton", "Katherine Johnson", "Donald Knuth"]


class Command(BaseCommand):
    help = __doc__

    def handle(self, **_options):
        for name in NEW:
            email = f"{name.split()[0].lower()}@example.com"
            User.objects.create(email=email, full_name=name, password="!")
        self.stdout.write(f"{len(NEW)} users signed up")
