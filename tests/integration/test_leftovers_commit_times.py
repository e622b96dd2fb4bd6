"""Where the server keeps commit timestamps, they tell which transactions are a migration's savepoints."""

from collections.abc import Callable

import pytest

from flagsnap.postgres import embedded
from tests.fix_deploys import Deploys
from tests.fix_projects import Project
from tests.fix_servers import DEFAULT_MAJOR, PostgresServer, bin_dir_of
from tests.integration.sample_leftovers import TAGS, adds, back, names, tags, write


@pytest.fixture
def server(own_server: Callable[..., embedded.Server]) -> PostgresServer:
    """A server of the test's own that keeps them."""
    started = own_server(settings={"track_commit_timestamp": "on"})
    return PostgresServer(DEFAULT_MAJOR, bin_dir_of(DEFAULT_MAJOR), started.url())


def test_rows_written_in_savepoints(deploys: Deploys, project: Project) -> None:
    tags(project)
    deploys.deploy()
    write(deploys, "recorded")
    deploys.capture()
    write(deploys, "before")
    adds(
        project,
        "from django.db import transaction",
        "for name in ('one', 'two'):",
        "    Tag.objects.get_or_create(name=name)",
        "with transaction.atomic():",
        "    Tag.objects.create(name='thr' + 'ee')",
    )
    deploys.deploy()
    write(deploys, "behind", "red")
    assert back(deploys, "--tidy") == {TAGS: (3, 3)}
    assert names(deploys) == ["before", "behind", "recorded", "red"]
