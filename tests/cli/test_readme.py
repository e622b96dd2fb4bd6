"""The README tells of every command and option, and of none that is not there."""

import re
from pathlib import Path

import pytest
import typer

from flagsnap.cli.app import COMMANDS, app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CODE = " ".join(re.findall(r"`[^`]+`|^ {4}.*$|```.*?```", README, re.MULTILINE | re.DOTALL))


def options_of(command: str) -> set[str]:
    """The long names of a command's options, the global ones among them."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group's
    names = (name for parameter in commands[command].params for name in parameter.opts)
    return {name for name in names if name.startswith("--")} - {"--help"}


ALL_OPTIONS = set().union(*map(options_of, COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"flagsnap {command}\b", CODE)


@pytest.mark.parametrize("option", sorted(ALL_OPTIONS))
def test_every_option_is_in_the_readme(option: str) -> None:
    assert re.search(rf"{option}\b(?!-)", CODE)


def test_the_readme_tells_of_no_other_command_and_option() -> None:
    lines = re.findall(r"flagsnap ([a-z]+)(.*)", "\n".join(re.findall(r"^(?: {4}|\$ )(.*)$", README, re.MULTILINE)))
    assert lines
    for command, rest in lines:
        assert command in COMMANDS
        told = set(re.findall(r"(?<!\S)--[a-z-]+", rest.partition(" #")[0]))
        assert told <= options_of(command), f"flagsnap {command}{rest}"


def test_every_exit_code_is_in_the_readme() -> None:
    for code in ("0", "1", "2", "3", "4", "5", "6", "7", "130"):
        assert re.search(rf"\b{code}\b", README)


def test_the_readme_shows_how_to_restore_without_flagsnap() -> None:
    """A promise: the dump is an ordinary one (tests/integration/test_capture.py does it)."""
    assert re.search(r"pg_restore .*dumps/default", CODE)
