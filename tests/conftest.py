"""What all tests share; the fixtures are in the fix_*.py files beside this one."""

import os
import signal

import pytest

pytest_plugins = (
    "tests.fix_servers",
    "tests.fix_s3",
    "tests.fix_databases",
    "tests.fix_preloaded",
    "tests.fix_projects",
    "tests.fix_cli",
    "tests.fix_deploys",
)

FOREIGN = ("PG", "FLAGSNAP_", "DJANGO_", "AWS_")


def pytest_configure() -> None:
    """Let Ctrl-C be tried: a shell that starts the tests in the background has its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer's shell has set away from the tests; fixtures and tests set what they need."""
    for name in list(os.environ):
        if (name.startswith(FOREIGN) or name == "DATABASE_URL") and not name.startswith("FLAGSNAP_TEST_"):
            monkeypatch.delenv(name)
