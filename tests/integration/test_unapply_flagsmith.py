"""Unapplying migrations that Flagsmith ships: those of its task processor, from the package flagsmith-common."""

import pytest

from tests.fix_deploys import Deploys, steps
from tests.fix_projects import Project
from tests.fix_servers import ALL_MAJORS


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_the_task_processor(deploys: Deploys, project: Project) -> None:
    """From its newest migration to the one before its indexes were made anew, twice without a transaction."""
    # Its migrations under an app of our own, for they need Django only, and its code a good deal more.
    project.app("task_processor", folder="tasks")
    project.install(MIGRATION_MODULES={"task_processor": "task_processor.migrations"})
    deploys.capture("v2", "task_processor", "0003")
    deploys.database.execute(
        "INSERT INTO task_processor_task (uuid, created_at, task_identifier, num_failures, completed)"
        " SELECT gen_random_uuid(), now(), 'task ' || n, 0, false FROM generate_series(1, 5) AS n"
    )
    deploys.deploy()
    deploys.database.execute(
        "UPDATE task_processor_task SET priority = 0, timeout = '1 hour' WHERE task_identifier = 'task 1'"
    )
    losses = {each["object"]: each["rows"] for each in deploys.plan()["losses"] if each["route"] == "unapply"}
    assert losses["public.task_processor_task.priority"] == 1
    assert losses["public.task_processor_task.timeout"] == 1
    plan = deploys.back()
    segments = steps(plan)
    assert [atomic for atomic, _ in segments] == [True, False, False]
    assert [names for _, names in segments[1:]] == [
        ["task_processor.0005_update_conditional_index_conditions"],
        ["task_processor.0004_recreate_task_indexes"],
    ]
    unapplied = segments[0][1]
    assert len(unapplied) == len(plan["extra"]) - 2
    assert unapplied == sorted(unapplied, reverse=True)
    assert deploys.database.rows("SELECT count(*) FROM task_processor_task") == [(5,)]
