"""The story of `flagsnap demo`: three deploys go wrong, and three rollbacks put them right, each by another route.

Everything in it is real: a PostgreSQL server, a Django project, and the commands as a user types them, run as
programs of their own, with their output as it comes. Nothing stays behind.
"""

import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import flagsnap
from flagsnap.demo.releases import lay_out
from flagsnap.errors import ChildFailed, FlagsnapError, UsageError
from flagsnap.postgres.embedded import Server, create_database, find_bin_dir, running
from flagsnap.process import Child, Command

Kind = Literal["heading", "text", "command", "output"]
Say = Callable[[Kind, str], None]

DATABASE = "flags"
SILENCE_SECONDS = 60.0
_FOREIGN = ("FLAGSNAP_", "PG", "DJANGO_")


@dataclass(frozen=True)
class Text:
    """What the reader should know now."""

    text: str


@dataclass(frozen=True)
class Release:
    """The code of a release is put in place, as a new image would be."""

    name: str


@dataclass(frozen=True)
class Run:
    """A command, as typed, and the exit code that it must end with."""

    command: str
    exit_code: int = 0


Step = Text | Release | Run

STORY: Mapping[str, Sequence[Step]] = {
    "A flag service runs in release v1": (
        Release("v1"),
        Run("python manage.py migrate --verbosity 0"),
        Run("python manage.py fill"),
        Run("python manage.py summary"),
    ),
    "Release v2 is deployed": (
        Text("First a snapshot. This is the line that a pipeline runs before the migrations of a deploy."),
        Run("flagsnap capture --deploy-id v2"),
        Text(
            "v2 brings a new app, renames and drops columns, moves tags from a column into a table, and "
            "builds an index concurrently."
        ),
        Release("v2"),
        Run("python manage.py migrate"),
        Run("python manage.py traffic"),
    ),
    "v2 is bad: back to the state before it": (
        Text("What would a rollback do, and what would it cost?"),
        Run("flagsnap plan --to v2"),
        Text("Every migration has a way back: exactly these are unapplied, and the result is compared."),
        Run("flagsnap rollback --to v2 --on-loss accept --yes"),
        Text("Is the database what was recorded? Does the code of v1 agree?"),
        Run("flagsnap verify --expect v2"),
        Release("v1"),
        Run("python manage.py migrate --check"),
        Run("python manage.py summary"),
        Text("What people wrote into the tables of v1 meanwhile is still there: unapplying keeps it."),
    ),
    "v2 is mended, and rehearsed before it is deployed": (
        Text("v2.1 moves the tags in SQL, both ways. First a snapshot again, then a rehearsal, on a copy of the data:"),
        Run("flagsnap capture --deploy-id v2.1"),
        Release("v2.1"),
        Run("flagsnap rehearse v2.1"),
        Text("The way back is proven before the deploy, and its SQL is recorded."),
        Run("python manage.py migrate --verbosity 0"),
    ),
    "v2.1 is bad too, and its code does not even start": (
        Text("What the rehearsal has recorded is replayed: neither Django nor a container that starts is needed."),
        Run("flagsnap rollback --to v2.1 --manage '' --on-loss accept --yes"),
        Run("flagsnap verify --expect v2.1"),
    ),
    "v2.1 works after all, then comes v3": (
        Run("python manage.py migrate --verbosity 0"),
        Run("flagsnap capture --deploy-id v3"),
        Text("v3 merges first and last names into one column and drops the two. Nobody can take that apart."),
        Release("v3"),
        Run("flagsnap rehearse v3 --schema-only", exit_code=4),
        Text("The rehearsal ends with 4, at which a pipeline would stop. This one goes on."),
        Run("python manage.py migrate --verbosity 0"),
        Run("python manage.py signups"),
        Run("python manage.py summary"),
    ),
    "v3 is bad: back, although it is irreversible": (
        Run("flagsnap plan --to v3"),
        Text(
            "The migrations have no way back, the snapshot has: it is restored beside the live database, "
            "compared with what was recorded, and only then swapped in."
        ),
        Run("flagsnap rollback --to v3 --on-loss restore --yes"),
        Run("flagsnap verify --expect v3"),
        Release("v2.1"),
        Run("python manage.py summary"),
    ),
    "Second thoughts: the users who signed up are missed": (
        Text("The database that the restore has replaced was kept, and comes back in the same way."),
        Run("flagsnap undo --yes"),
        Release("v3"),
        Run("python manage.py summary"),
    ),
    "And every night, by cron": (
        Text(
            "A snapshot that was never restored is a hope: the newest is restored into a scratch database and compared."
        ),
        Run("flagsnap verify --level drill"),
        Text("Which deploys there were, and the way back to before the newest:"),
        Run("flagsnap history"),
        Text("And what a policy would no longer keep:"),
        Run("flagsnap prune --keep-last 1"),
    ),
}


def tell(say: Say, store: Mapping[str, str] | None = None, clear: Callable[[str], None] | None = None) -> None:
    """Play the story; FlagsnapError at the first command that ends otherwise than it should.

    `store` are the variables that name another store than a folder of the demo's own. It is emptied by `clear`, which
    is told the database's URL, whatever has happened.
    """
    if importlib.util.find_spec("django") is None:
        raise UsageError("the demo needs Django", hint='pip install "flagsnap[demo]"')
    bin_dir = find_bin_dir()
    with _own_environment(), _own_folder() as folder, running(bin_dir, folder / "postgres") as server:
        create_database(server, DATABASE)
        say("text", f"PostgreSQL {server.major} is up for this demo, in {folder}.")
        stage = _Stage(folder / "project", {**_environment(server, folder), **(store or {})}, say)
        if store:
            say("text", f"The snapshots go to {store['FLAGSNAP_STORE']}.")
        try:
            _play(stage)
        finally:
            if clear:
                clear(server.url(DATABASE))
    say("text", "The server is stopped, and everything it had is removed.")


def _play(stage: "_Stage") -> None:
    for heading, steps in STORY.items():
        stage.say("heading", heading)
        for step in steps:
            stage.play(step)


@dataclass(frozen=True)
class _Stage:
    project: Path
    environment: Mapping[str, str]
    say: Say

    def play(self, step: Step) -> None:
        match step:
            case Text(text):
                self.say("text", text)
            case Release(name):
                lay_out(name, self.project)
                self.say("text", f"The code of {name} is in place.")
            case Run(command, exit_code):
                self._run(command, exit_code)

    def _run(self, command: str, exit_code: int) -> None:
        self.say("command", command)
        ended = self._end_of(Command(_argv(command), env=self.environment, folder=self.project))
        if ended != exit_code:
            raise FlagsnapError(f"`{command}` ended with exit code {ended}, not {exit_code}")

    def _end_of(self, command: Command) -> int:
        with Child(command, on_error_line=self._output) as child:
            child.close_input()
            try:
                for line in child.lines(SILENCE_SECONDS):
                    self._output(line)
                child.finish()
            except TimeoutError:
                raise FlagsnapError(f"{command.program} said nothing for {SILENCE_SECONDS:.0f} s") from None
            except ChildFailed as error:
                return error.code
        return 0

    def _output(self, line: str) -> None:
        self.say("output", line.rstrip())


def _argv(command: str) -> tuple[str, ...]:
    program, *arguments = shlex.split(command)
    # -P: the project's own modules must not stand before those of flagsnap.
    interpreter = {"python": (sys.executable,), "flagsnap": (sys.executable, "-P", "-m", "flagsnap")}
    return (*interpreter[program], *arguments)


def _environment(server: Server, folder: Path) -> Mapping[str, str]:
    return {
        "DATABASE_URL": server.url(DATABASE),
        "FLAGSNAP_STORE": str(folder / "snapshots"),
        "FLAGSNAP_MANAGE": shlex.join([sys.executable, str(folder / "project" / "manage.py")]),
        "PATH": os.pathsep.join([str(server.bin_dir), os.environ.get("PATH", os.defpath)]),
        "TMPDIR": str(folder),
        # The demo may run from a checkout that is not installed.
        "PYTHONPATH": str(Path(flagsnap.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _own_environment() -> Iterator[None]:
    """Hide what the user's shell has set for a real database and a real project."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith(_FOREIGN)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def _own_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="flagsnap-demo-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the server's user passes through, and sees nothing
        yield folder
