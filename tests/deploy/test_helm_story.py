"""The Helm recipe's own commands, in the order in which Helm runs them, on a real database and a real project."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.recipes import Release, containers, hook, objects
from tests.fix_cli import Ended
from tests.fix_deploys import Deploys
from tests.fix_projects import TEXT, Node, add_field, create_model, migration, run_sql

FIRST: Node = ("flags", "0001_initial")
NEWER = "0002_newer"


@dataclass
class Helm:
    """What Helm does to a release: the hooks, and the chart's own migrate behind them."""

    deploys: Deploys

    def upgrade(self, revision: int, *, refused_with: int = 0) -> None:
        """Capture, then rehearse with the new code, then migrate; if a hook fails, Helm stops."""
        self.deploys.project.write()
        self.capture(revision)
        _, rehearse = containers(hook("pre-upgrade", Release(revision)))
        self._run(rehearse["args"], with_code=True, code=refused_with)
        if not refused_with:
            self.deploys.deploy()

    def capture(self, revision: int) -> None:
        """What is done first before an upgrade, by an image without any project."""
        capture, _ = containers(hook("pre-upgrade", Release(revision)))
        self._run(capture["args"], with_code=False)

    def rollback(self, to: int, code: int = 0) -> Ended:
        """Go back to a revision by its own hook, whose image has no project at all."""
        (rollback,) = containers(hook("pre-rollback", Release(to)))
        return self._run(rollback["args"], with_code=False, code=code)

    def _run(self, words: list[str], *, with_code: bool, code: int = 0) -> Ended:
        environment = {} if with_code else {"FLAGSNAP_MANAGE": ""}
        return self.deploys.flagsnap.within(*words, code=code, **environment)


@pytest.fixture
def helm(deploys: Deploys) -> Helm:
    """A release whose revision 6 came with flagsnap's hooks and nothing else."""
    deploys.project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_flag (name) VALUES ('one'), ('two')")
    made = Helm(deploys)
    made.capture(6)
    return made


@contextmanager
def taken_back(deploys: Deploys) -> Iterator[None]:
    """See that the database is behind the block what it was before: migrations, and schema as pg_dump prints it."""
    before = (deploys.names(), deploys.schema())
    yield
    assert (deploys.names(), deploys.schema()) == before


def newer(deploys: Deploys, *operations: str) -> None:
    """Write the next version."""
    deploys.project.migration("flags", NEWER, *operations, dependencies=[FIRST])


def test_helm_rollback_takes_the_database_back(helm: Helm) -> None:
    with taken_back(helm.deploys):
        newer(helm.deploys, add_field("Flag", "colour"))
        helm.upgrade(7)
        assert f"flags.{NEWER}" in helm.deploys.names()
        helm.deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('since', 'red')")
        ended = helm.rollback(to=6)
    assert "back to the state before deploy flagsmith-7: replayed 1 migration" in ended.out
    assert "proven" in ended.out
    assert helm.deploys.database.rows("SELECT name FROM flags_flag ORDER BY id") == [("one",), ("two",), ("since",)]
    with helm.deploys.untouched():  # a Job that is retried
        assert "nothing had to be unapplied" in helm.rollback(to=6).out


def test_after_a_refused_upgrade_there_is_nothing_to_take_back(helm: Helm) -> None:
    """As with --atomic, which goes back by itself when a hook fails."""
    newer(helm.deploys, run_sql("UPDATE flags_flag SET name = upper(name)"))
    with helm.deploys.untouched():
        helm.upgrade(7, refused_with=4)
        ended = helm.rollback(to=6)
    assert "nothing had to be unapplied" in ended.out


def test_a_rollback_that_would_lose_data_is_refused(helm: Helm) -> None:
    """The way back was not rehearsed for this database any more, and restoring would lose what was written since."""
    newer(helm.deploys, add_field("Flag", "colour"))
    helm.upgrade(7)
    helm.deploys.database.execute("ALTER TABLE flags_flag ADD by_hand text")
    helm.deploys.database.execute("INSERT INTO flags_flag (name, colour) VALUES ('x', '')")
    with helm.deploys.untouched():
        ended = helm.rollback(to=6, code=4)
    assert "hint: " in ended.err


def test_a_revision_without_the_hooks_is_not_known(helm: Helm) -> None:
    """The very first upgrade: nothing recorded what the revision before it was."""
    with helm.deploys.untouched():
        assert "no snapshot flagsmith-5 " in helm.rollback(to=5, code=5).err


def test_each_night(helm: Helm, tmp_path: Path) -> None:
    """The CronJob's containers, in order: all end well on a release that was deployed well, and remove nothing."""
    newer(helm.deploys, add_field("Flag", "colour"))
    helm.upgrade(7)
    *_, cron = objects("helm-values.yaml")
    with helm.deploys.untouched():
        for container in containers(cron):
            words = [*container["args"], "--metrics", str(tmp_path / "flagsnap.prom")]
            ended = helm.deploys.flagsnap.within(*words, FLAGSNAP_MANAGE="")
            assert "error" not in ended.out + ended.err
    told = (tmp_path / "flagsnap.prom").read_text()
    assert 'flagsnap_run_success{command="prune",' in told
    assert "flagsnap_drill_seconds{" in told
    assert set(re.findall(r'flagsnap_verified_ok\{.*level="(\w+)"\} 1', told)) == {"manifest", "files", "toc", "drill"}
    assert helm.deploys.database.relatives() == [helm.deploys.database.name]
    assert [each["deploy_id"] for each in helm.deploys.flagsnap.within("list", "--json").json["snapshots"]] == [
        "flagsmith-7",
        "flagsmith-6",
    ]


def test_an_upgrade_that_is_tried_again_goes_back_to_what_was_there_then(helm: Helm) -> None:
    """Not to the rows of the first try: of captures of one state, the newest is the state that revision 6 ran with."""
    newer(helm.deploys, run_sql("UPDATE flags_flag SET name = upper(name)"))
    helm.upgrade(7, refused_with=4)
    helm.deploys.database.execute("INSERT INTO flags_flag (name) VALUES ('between')")
    newer(helm.deploys, add_field("Flag", "colour"))
    helm.upgrade(8)
    assert "back to the state before deploy flagsmith-8: replayed" in helm.rollback(to=6).out
    assert ("between",) in helm.deploys.database.rows("SELECT name FROM flags_flag")
