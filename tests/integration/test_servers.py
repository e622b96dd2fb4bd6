"""The fixtures that all integration tests stand on."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from flagsnap.demo.releases import RELEASES, lay_out
from flagsnap.errors import FlagsnapError
from flagsnap.postgres import embedded
from tests.fix_databases import Database
from tests.fix_projects import AUTH, CONTENT_TYPES, TEXT, Project, add_field, create_model, migration, run_sql
from tests.fix_servers import ALL_MAJORS, bin_dir_of

USER_MODEL = """
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models

class User(AbstractBaseUser):
    name = models.CharField(max_length=100, unique=True)
    last_login = None
    USERNAME_FIELD = "name"
"""
FOREIGN_KEY = 'models.ForeignKey("users.User", models.SET_NULL, null=True)'


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_each_major_has_a_server_and_its_programs(database: Database, request: pytest.FixtureRequest) -> None:
    server = database.server
    assert server.major == request.node.callspec.params["server"]
    ((version,),) = database.rows("SELECT current_setting('server_version_num')::int / 10000")
    assert version == server.major
    printed = subprocess.run([server.bin_dir / "pg_dump", "--version"], capture_output=True, check=True)
    assert f" {server.major}.".encode() in printed.stdout


def test_database_is_fresh_and_takes_its_relatives_along(database: Database) -> None:
    database.execute("CREATE TABLE flag (id int); INSERT INTO flag VALUES (1), (2)")
    assert database.rows("SELECT count(*) FROM flag") == [(2,)]
    other = Database(database.server, f"{database.name}_scratch")
    other.create()
    session = other.connect()
    assert database.relatives() == [database.name, other.name]
    database.close()
    assert database.relatives() == []
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    other.close()


def test_database_speaks_utf8(database: Database) -> None:
    assert database.rows("SELECT current_setting('server_encoding'), 'Fähnchen ⚑'") == [("UTF8", "Fähnchen ⚑")]


def test_wrong_password_is_refused(database: Database) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.server.url(database.name, "postgres", "wrong"))


def test_roles_of_a_test_may_not_create_databases(database: Database) -> None:
    role = database.role("app")
    connection = database.connect(user=role, password="secret")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE DATABASE nothing")


def test_project_migrates_from_release_to_release_and_back(project: Project) -> None:
    project.install(CONTENT_TYPES, AUTH, AUTH_USER_MODEL="users.User")
    project.app("users", models=USER_MODEL)
    project.migration(
        "users",
        "0001_initial",
        create_model("User", password=TEXT, name=TEXT),
        dependencies=[("auth", "0012_alter_user_first_name_max_length")],
    )
    project.app("features", {"0001_initial": migration(create_model("Feature", name=TEXT))}, folder="flags")
    project.write()
    project.migrate()
    project.database.execute("INSERT INTO features_feature (name) VALUES ('dark_mode')")

    project.migration(
        "features",
        "0002_owner",
        add_field("Feature", "owner", FOREIGN_KEY),
        dependencies=[("features", "0001_initial"), ("users", "0001_initial")],
    )
    project.write()
    assert "Applying features.0002_owner... OK" in project.migrate()
    assert project.applied()[-1] == ("features", "0002_owner")
    assert project.database.rows("SELECT name, owner_id FROM features_feature") == [("dark_mode", None)]
    project.migrate("features", "0001")

    project.remove("features", "0002_owner")
    project.write()
    assert "No migrations to apply" in project.migrate()


def test_project_shows_why_a_command_failed(project: Project) -> None:
    project.app("features", {"0001_initial": migration(run_sql("SELECT nonsense"))})
    project.write()
    with pytest.raises(AssertionError, match='column "nonsense" does not exist'):
        project.migrate()


def test_embedded_server_shows_its_log_when_it_does_not_start_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o711)
        folder = Path(reachable, "server")
        server = embedded.running(bin_dir_of(18), folder, {"shared_buffers": "nonsense"})
        with (
            pytest.raises(FlagsnapError, match=r'does not start:\n.*invalid value .* "shared_buffers"'),
            server,
        ):
            pass
        assert not folder.exists()


@pytest.mark.parametrize("release", RELEASES)
def test_models_of_the_demo_agree_with_its_migrations(release: str, database: Database, tmp_path: Path) -> None:
    manage = lay_out(release, tmp_path / "project")
    checked = subprocess.run(
        [sys.executable, manage, "makemigrations", "--check", "--dry-run"],
        env={**os.environ, "DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout.strip() == "No changes detected", checked.stderr
