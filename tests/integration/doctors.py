"""What the tests of `doctor` share: its lines by name, and which of them a test has made red."""

from collections.abc import Callable
from typing import Any, TypeVar

from flagsnap.diagnosis.values import LINES
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database

Test = TypeVar("Test", bound=Callable[..., None])

RED: set[str] = set()
"""The lines that have a test that makes them red: failed, or advice where that is all they can be."""


def reddens(*names: str) -> Callable[[Test], Test]:
    """Mark a test that makes lines red; test_doctor.py sees that none is left out."""
    assert set(names) <= set(LINES)
    RED.update(names)
    return lambda test: test


def examined(flagsnap: Flagsnap, *arguments: str, **environment: str) -> dict[str, dict[str, Any]]:
    """The lines by their names, the exit code being what they amount to."""
    ended = flagsnap.within("doctor", "--json", *arguments, code=None, **environment)
    checks = ended.json["checks"]
    states = {check["state"] for check in checks}
    assert ended.code == (3 if "failed" in states else 1 if "unchecked" in states else 0), ended.err
    assert ended.json["ok"] is (ended.code == 0)
    names = [check["name"] for check in checks]
    assert names == [name for name in LINES if name in names]
    assert all(check["why"] for check in checks)
    assert all(check["mend"] for check in checks if check["state"] in {"failed", "advice"})
    return {check["name"]: check for check in checks}


def line(flagsnap: Flagsnap, name: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """One line's state, and what was found."""
    check = examined(flagsnap, *arguments, **environment)[name]
    return check["state"], check["found"]


def as_role(database: Database, suffix: str = "app", options: str = "LOGIN") -> dict[str, str]:
    """The environment of a role of the test's own, which may do nothing yet; it is called `<database>_<suffix>`."""
    return {"FLAGSNAP_DATABASE_URL": database.server.url(database.name, database.role(suffix, options))}


def give_away(database: Database, role: str) -> None:
    """Make a role the owner of the database and of all tables in it."""
    database.execute(f"""
        ALTER DATABASE "{database.name}" OWNER TO "{role}";
        DO $$ DECLARE t text; BEGIN
            FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                EXECUTE format('ALTER TABLE %I OWNER TO %I', t, '{role}');
            END LOOP;
        END $$
    """)
