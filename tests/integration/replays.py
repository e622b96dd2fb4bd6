"""A deploy that is rehearsed before it is done, whose way back has five segments and touches each table once."""

from dataclasses import replace

from flagsnap.rehearsal.script import Script
from flagsnap.rehearsal.values import Rehearsal
from tests.fix_deploys import DEPLOY, Deploys
from tests.fix_projects import TEXT, add_field, create_model, migration, remove_field

CONCURRENTLY = "from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently\n"
BY_NAME = 'models.Index(fields=["name"], name="{}_by_name")'
ACCEPT = ("--on-loss", "accept")
REPLAY = ("--strategy", "replay", *ACCEPT)
NO_PROJECT = ("--manage", "")
"""The container of the newer version does not even start."""


def captured(deploys: Deploys) -> None:
    """Six tables with a row each, captured."""
    tables = (create_model(name, name=TEXT, gone=TEXT) for name in ("One", "Two", "Three", "Four", "Five", "Six"))
    index = f'migrations.AddIndex("Four", {BY_NAME.format("four")})'
    deploys.project.app("flags", {"0001_initial": migration(*tables, index)})
    deploys.deploy()
    for name in ("one", "two", "three", "four", "five", "six"):
        deploys.database.execute(f"INSERT INTO flags_{name} (name, gone) VALUES ('{name}', 'captured')")
    deploys.capture()


def next_release(deploys: Deploys) -> None:
    """Write the next release."""
    project = deploys.project
    project.migration("flags", "0002_colours", add_field("One", "colour"), dependencies=[("flags", "0001_initial")])
    project.migration(
        "flags",
        "0003_indexes",
        f'AddIndexConcurrently("Three", {BY_NAME.format("three")})',
        'RemoveIndexConcurrently("Four", "four_by_name")',
        dependencies=[("flags", "0002_colours")],
        atomic=False,
        imports=CONCURRENTLY,
    )
    project.migration("flags", "0004_more", add_field("Two", "colour"), dependencies=[("flags", "0003_indexes")])
    project.migration("flags", "0005_gone", remove_field("Five", "gone"), dependencies=[("flags", "0004_more")])
    project.migration("flags", "0006_last", add_field("Six", "colour"), dependencies=[("flags", "0005_gone")])
    project.write()


def rehearsed(deploys: Deploys) -> Rehearsal:
    """Rehearse what has been written; it must be fit to be replayed."""
    deploys.flagsnap.within("rehearse", DEPLOY)
    found = stored(deploys)
    assert found.obstacles == ()
    return found


def stored(deploys: Deploys) -> Rehearsal:
    """The rehearsal in the store."""
    found = deploys.snapshots.rehearsal(deploys.snapshots.get(DEPLOY))
    assert found is not None
    return found


def deployed(deploys: Deploys) -> Rehearsal:
    """The whole deploy as it should be: captured, rehearsed, done; and people go on writing."""
    captured(deploys)
    next_release(deploys)
    found = rehearsed(deploys)
    deploys.deploy()
    deploys.database.execute("UPDATE flags_one SET colour = 'red'; UPDATE flags_two SET name = 'changed'")
    return found


def with_another_statement(rehearsal: Rehearsal, migration_name: str, statement: str) -> Rehearsal:
    """A rehearsal that recorded something else of a migration."""
    script = script_of(rehearsal)
    segments = tuple(
        replace(
            segment,
            parts=tuple(
                replace(part, statements=(statement,)) if part.migration.name == migration_name and part.rows else part
                for part in segment.parts
            ),
        )
        for segment in script.segments
    )
    return rehearsal.model_copy(update={"script": replace(script, segments=segments)})


def with_another_fingerprint(rehearsal: Rehearsal, number: int) -> Rehearsal:
    """A rehearsal that found another schema behind a segment."""
    script = script_of(rehearsal)
    segments = list(script.segments)
    segments[number] = replace(segments[number], fingerprint="sha256:another")
    return rehearsal.model_copy(update={"script": replace(script, segments=tuple(segments))})


def script_of(rehearsal: Rehearsal) -> Script:
    """Its script, which is there."""
    assert rehearsal.script is not None
    return rehearsal.script
