import os
from urllib.parse import parse_qsl, unquote, urlsplit

from service.installed import APPS


def database_from(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": dict(parse_qsl(parts.query)),
    }


INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", *APPS]
AUTH_USER_MODEL = "users.User"
DATABASES = {"default": database_from(os.environ["DATABASE_URL"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = os.environ.get("SECRET_KEY", "only for the demo")
USE_TZ = True
