"""The demo's story on standard output: headings, sentences, commands as they are typed, and what they print."""

from typing import Literal

from rich.console import Console
from rich.text import Text

_STYLES = {"heading": "bold", "text": "", "command": "bold cyan", "output": "dim"}
_PREFIXES = {"heading": "\n== ", "text": "", "command": "\n$ ", "output": "  "}


class StoryTeller:
    """Prints a story line by line, as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, kind: Literal["heading", "text", "command", "output"], text: str) -> None:
        """Print one piece."""
        line = Text(_PREFIXES[kind] + text, style=_STYLES[kind])
        self._console.print(line, soft_wrap=kind != "text")
