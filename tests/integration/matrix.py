"""One deploy of a kind, there and back by both routes, with every row counted beside flagsnap.

A `Case` says what a migration does, what people write before and after it, and what the plan has to call its losses.
The rest is measured: see matrix_rows.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flagsnap.progress import Silent
from flagsnap.recording.capture import CaptureRequest, capture
from tests.fix_deploys import DEPLOY, Deploys
from tests.fix_projects import migration
from tests.integration.matrix_rehearsals import assert_true, rehearse
from tests.integration.matrix_rows import (
    Rows,
    Went,
    by_name,
    differences,
    expected_after,
    partition_roots,
    read_rows,
    sequences_behind,
    what_went,
)

Losses = dict[tuple[str, str], tuple[int | None, str]]

# What a kind of loss is called by what_went; the others destroy nothing that is there when the rollback begins.
_GOES = {
    "table_dropped": "table",
    "column_dropped": "column",
    "type_narrowed": "narrowed",
    "rows_deleted": "rows",
    "rows_updated": "changed",
}
APP = "flags"


@dataclass(frozen=True)
class Case:
    """A kind of migration.

    Attributes:
        before: the operations of the release that is captured.
        deploy: the operations of the deploy.
        fill: SQL that writes before the capture.
        write: SQL that writes after the deploy.
        losses: of unapplying, rows and remedy by kind and object.
        closed: why unapplying is closed, a piece of the reason; then only the restore is tried.
        defaults: values of added columns that are no loss, by object, beside NULL.
        imports: source before the deploy's migration, such as functions.
        atomic: whether the deploy's migration is.
        unknown: what goes by code or SQL that nobody can read, beside what the plan counts.
        stays: what is different after the rollback all the same, in the words of `differences`.
        again: what is different from before the rollback after the second deploy and the refill from the archive.
    """

    name: str
    before: tuple[str, ...]
    deploy: tuple[str, ...]
    fill: str = ""
    write: str = ""
    losses: Losses = field(default_factory=dict)
    closed: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    imports: str = ""
    before_imports: str = ""
    atomic: bool = True
    unknown: Went = field(default_factory=dict)
    stays: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


@dataclass(frozen=True)
class Journey:
    """A case on a project and a database; `recorded`, `deployed` and `written` are the rows at these moments.

    The deploy was rehearsed, and a real rollback has shown what the rehearsal said.
    """

    case: Case
    deploys: Deploys
    recorded: Rows
    deployed: Rows
    written: Rows

    @classmethod
    def begin(cls, case: Case, deploys: Deploys) -> "Journey":
        """Fill, capture, rehearse, migrate, see that the rehearsal was right, write more."""
        database = deploys.database
        first = migration(*case.before, initial=True, imports=case.before_imports)
        deploys.project.app(APP, {"0001_initial": first})
        deploys.deploy()
        if case.fill:
            database.execute(case.fill)
        _capture(deploys, DEPLOY)
        recorded = read_rows(database)
        source = migration(*case.deploy, dependencies=[(APP, "0001_initial")], atomic=case.atomic, imports=case.imports)
        deploys.project.apps[APP].migrations["0002_deploy"] = source
        deploys.project.write()
        rehearsed = rehearse(deploys)
        deploys.project.migrate()
        deployed = read_rows(database)
        assert_true(rehearsed, deploys, recorded)
        if case.write:
            database.execute(case.write)
        return cls(case, deploys, recorded, deployed, read_rows(database))

    def restore_and_undo(self) -> None:
        """Restore: the recorded rows, exactly. Undo: what was there before, exactly."""
        database = self.deploys.database
        options = ("--strategy", "restore", "--on-loss", "accept", "--yes", "--json")
        self.deploys.flagsnap.within("rollback", "--to", DEPLOY, *options)
        assert differences(by_name(self.recorded), by_name(read_rows(database))) == []
        self.deploys.flagsnap.within("undo", "--yes")
        assert differences(by_name(self.written), by_name(read_rows(database))) == []

    def unapply(self) -> dict[str, Any]:
        """Unapply and compare: with the plan, with what people count on, and with the case."""
        options = ("--strategy", "unapply", "--on-loss", "accept", "--yes", "--json")
        ended = self.deploys.flagsnap.within("rollback", "--to", DEPLOY, *options).json
        after = read_rows(self.deploys.database)
        plan = ended["plan"]
        assert losses_of(plan) == self.case.losses
        assert self._restore_is_priced(plan) == []
        went = what_went(self.written, after, self.recorded, self.case.defaults)
        assert what_goes(plan) | self.case.unknown == went
        expected = expected_after(self.recorded, self.deployed, self.written)
        assert sorted(differences(expected, by_name(after))) == sorted(self.case.stays)
        assert sequences_behind(self.deploys.database) == []
        self.deploys.assert_back()
        return dict(ended)

    def deploy_again_and_refill(self, archive: str) -> None:
        """After a second deploy the archive brings back what was there before the rollback."""
        self.deploys.project.migrate()
        self.deploys.flagsnap.within("refill", "--from", archive, "--json")
        now = by_name(read_rows(self.deploys.database))
        assert sorted(differences(by_name(self.written), now)) == sorted(self.case.again)
        assert sequences_behind(self.deploys.database) == []

    def _restore_is_priced(self, plan: Mapping[str, Any]) -> list[str]:
        """What is wrong with the price of the restore: all that was written since is in it, nothing else."""
        roots = partition_roots(self.deploys.database)
        priced: dict[str, int | None] = {}
        for each in plan["losses"]:
            if each["route"] == "restore":
                name = roots.get(each["object"], each["object"])
                priced[name] = (priced.get(name) or 0) + each["rows"] if each["rows"] is not None else None
        by_people = rows_written(self.deployed, self.written)
        by_anyone = rows_written(self.recorded, self.written).keys() | by_people.keys()
        return [
            *(f"{name} was not written to" for name in priced.keys() - by_anyone),
            *(
                f"{name}: {priced.get(name, 'no')} rows, but {rows} were written"
                for name, rows in by_people.items()
                if name not in priced or (priced[name] or rows) < rows
            ),
        ]


def rows_written(before: Rows, after: Rows) -> dict[str, int]:
    """Rows that were inserted, updated or deleted, by the table's present name."""
    found = {}
    for table in after.tables.values():
        then = before.tables.get(table.oid)
        common = set(table.columns) & set(then.columns) if then else set(table.columns)
        was, now = (each.keyed(common) if each else {} for each in (then, table))
        changed = [key for key in was.keys() & now.keys() if any(was[key][each] != now[key][each] for each in common)]
        gone, new = len(was.keys() - now.keys()), len(now.keys() - was.keys())
        # Without a key, a row that was changed is one that went and one that came.
        if count := (gone + new if table.key else max(gone, new)) + len(changed):
            found[table.name] = count
    return found


def losses_of(plan: Mapping[str, Any], route: str = "unapply") -> Losses:
    """A plan's losses as a case has them."""
    return {
        (each["kind"], each["object"]): (each["rows"], each["remedy"])
        for each in plan["losses"]
        if each["route"] == route
    }


def what_goes(plan: Mapping[str, Any]) -> Went:
    """What a plan says of that which is there and goes, as what_went has it."""
    return {
        (_GOES[each["kind"]], each["object"]): each["rows"]
        for each in plan["losses"]
        if each["route"] == "unapply" and each["kind"] in _GOES
    }


def objects(losses: Iterable[Mapping[str, Any]], remedy: str) -> set[str]:
    """What has a remedy."""
    return {each["object"] for each in losses if each["route"] == "unapply" and each["remedy"] == remedy}


def _capture(deploys: Deploys, deploy_id: str) -> None:
    request = CaptureRequest(deploys.address, deploy_id, {}, 2, "fail", deploys.database.server.bin_dir, 10.0)
    capture(request, deploys.snapshots, Silent())
    deploys.recorded[deploy_id] = (deploys.applied(), deploys.schema())
