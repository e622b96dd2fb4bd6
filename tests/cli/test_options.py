"""Options: the global ones before and after the command, which source wins, and what help says."""

import os
from pathlib import Path

import pytest

from flagsnap.cli.app import COMMANDS
from flagsnap.cli.options import GLOBAL_OPTIONS
from tests.fix_cli import Flagsnap

GLOBAL_NAMES = {f"--{name.replace('_', '-')}" for name in GLOBAL_OPTIONS}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """flagsnap.toml is looked for in the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store_of(flagsnap: Flagsnap, *arguments: str, **environment: str) -> str:
    """The store that a command would use: it names it in its error."""
    ended = flagsnap.within(*arguments, "show", "v9", code=None, **environment)
    return ended.err.partition(" in ")[2].partition("\n")[0] if ended.code == 5 else ended.err


def test_global_options_stand_before_or_after_the_command(flagsnap: Flagsnap) -> None:
    before = flagsnap.within("--store", "/other", "--json", "show", "v9", code=5)
    after = flagsnap.within("show", "v9", "--store", "/other", "--json", code=5)
    assert before == after
    assert "no snapshot v9 in /other" in before.err
    assert flagsnap.within("--store", "/first", "show", "v9", "--store", "/last", code=5).err.count("/last") == 1


@pytest.mark.parametrize("name", sorted(GLOBAL_NAMES - {"--config"}))
def test_every_global_option_is_taken_in_both_places(flagsnap: Flagsnap, name: str) -> None:
    numbers = {name: ["2"] for name in ("--jobs", "--silence", "--lock-timeout", "--count-seconds", "--digest-seconds")}
    values = {**numbers, "--store-option": ["region=eu-west-1"]}
    flags = {"--json", "--quiet", "--verbose", "--traceback"}
    given = [name, *([] if name in flags else values.get(name, [str(flagsnap.store)]))]
    for arguments in ([*given, "list"], ["list", *given]):
        flagsnap.within(*arguments)


def test_option_then_environment_then_file_then_default(flagsnap: Flagsnap, own_folder: Path) -> None:
    del flagsnap.environment["FLAGSNAP_STORE"]
    assert "error: no store was given" in store_of(flagsnap)
    (own_folder / "flagsnap.toml").write_text('store = "/from/file"')
    assert store_of(flagsnap) == "/from/file"
    (own_folder / "other.toml").write_text('store = "/from/other"')
    assert store_of(flagsnap, FLAGSNAP_CONFIG="other.toml") == "/from/other"
    assert store_of(flagsnap, "--config", "other.toml") == "/from/other"
    assert store_of(flagsnap, FLAGSNAP_STORE="/from/environment") == "/from/environment"
    assert store_of(flagsnap, "--store", "/from/option", FLAGSNAP_STORE="/from/environment") == "/from/option"


def test_the_applications_own_variable_is_enough(flagsnap: Flagsnap) -> None:
    url = flagsnap.environment.pop("FLAGSNAP_DATABASE_URL")
    assert "error: no database URL was given" in flagsnap.within("capture", code=2).err
    flagsnap.within("capture", "--deploy-id", "v1", DATABASE_URL=url)


def test_a_relative_store_is_found_from_the_current_folder(flagsnap: Flagsnap, own_folder: Path) -> None:
    assert store_of(flagsnap, "--store", "some/store") == str(own_folder / "some/store")
    assert store_of(flagsnap, "--store", "file:///a%20b") == "/a b"


def test_an_unknown_setting_is_named_with_what_was_meant(flagsnap: Flagsnap, own_folder: Path) -> None:
    (own_folder / "flagsnap.toml").write_text('stroe = "x"')
    refused = flagsnap.within("list", code=2)
    assert refused.err == "error: the file flagsnap.toml has an unknown setting stroe\nhint: did you mean store?\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--jobs", "-1"], "error: jobs cannot be -1\nhint: give it a number, 0 or more\n"),
        (["--count-seconds", "-1"], "error: count-seconds cannot be -1.0\nhint: give it a number, 0 or more\n"),
        (
            ["--archive", "some"],
            (
                "error: invalid value for '--archive': 'some' is not one of 'affected', 'full', 'none'\n"
                "hint: flagsnap plan --help\n"
            ),
        ),
    ],
)
def test_a_value_that_makes_no_sense(flagsnap: Flagsnap, options: list[str], message: str) -> None:
    assert flagsnap.within("plan", "--to", "v2", *options, code=2).err == message


def test_a_file_that_is_not_there(flagsnap: Flagsnap) -> None:
    refused = flagsnap.within("list", "--config", "gone.toml", code=2)
    assert refused.err.startswith("error: the file gone.toml cannot be read: no such file or directory\n")


def test_nothing_at_all_shows_the_help(flagsnap: Flagsnap) -> None:
    bare, asked = flagsnap.within(), flagsnap.within("--help")
    assert bare == asked
    assert bare.err == ""
    assert all(command in bare.out for command in COMMANDS)


def test_version(flagsnap: Flagsnap) -> None:
    assert flagsnap.within("--version").out == "flagsnap 0.1.0\n"


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("columns", ["", "80"])
def test_help_fits_in_80_columns_and_names_every_option(flagsnap: Flagsnap, command: str, columns: str) -> None:
    out = flagsnap.within(*([command] if command else []), "--help", COLUMNS=columns).out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out
    assert set(out.split()) >= GLOBAL_NAMES


def test_help_says_what_an_id_means(flagsnap: Flagsnap) -> None:
    for command in ("plan", "rollback"):
        words = " ".join(flagsnap.within(command, "--help", COLUMNS="200").out.split())
        assert "just BEFORE that deploy" in words
        assert "what the first capture AFTER it recorded" in words


def test_traceback_is_shown_when_it_is_asked_for(flagsnap: Flagsnap) -> None:
    command = flagsnap.start("show", "v9", "--traceback", PYTHONPATH=str(Path(__file__).parents[2]))
    _, err = command.communicate()
    assert command.returncode == 5
    assert "Traceback (most recent call last)" in err
    assert err.startswith("error: no snapshot v9 in ")


def test_verbose_shows_what_a_child_said(flagsnap: Flagsnap, tmp_path: Path) -> None:
    for program in ("pg_restore", "psql", "pg_dump"):
        (tmp_path / program).write_text(
            "#!/bin/sh\ncase $* in *--version*) echo 'pg_dump (PostgreSQL) 18.0';;"
            " *) echo 'first words' >&2; echo 'pg_dump: error: last words' >&2; exit 1;; esac\n"
        )
        (tmp_path / program).chmod(0o755)
    plain = flagsnap.within("capture", "--pg-bin", str(tmp_path), code=1)
    assert "error: the dump failed: pg_dump ended with exit code 1: pg_dump: error: last words\n" in plain.err
    assert "first words" not in plain.err
    verbose = flagsnap.within("capture", "--pg-bin", str(tmp_path), "--verbose", code=1)
    assert "first words" in verbose.err


def test_the_environment_of_the_test_run_is_kept_away() -> None:
    assert not [name for name in os.environ if name.startswith(("PG", "FLAGSNAP_")) and "TEST" not in name]


def test_an_argument_that_is_no_text_is_refused_before_anything_is_done(flagsnap: Flagsnap) -> None:
    refused = flagsnap("capture", "--label", "k=caf\udce9", code=2)
    assert refused.err.startswith("error: the argument 'k=caf\\udce9' is not UTF-8\nhint: ")
    assert flagsnap.files() == []
