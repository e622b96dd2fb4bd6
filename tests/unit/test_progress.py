"""Progress: silent by default, lines where there is no terminal, bars where there is one."""

import io
import time

import pytest
from rich.console import Console

from flagsnap.progress import Progress, Silent
from flagsnap.report.progress import ConsoleProgress


def progress_on(
    stream: io.StringIO, *, quiet: bool = False, verbose: bool = False, terminal: bool = False
) -> ConsoleProgress:
    console = Console(file=stream, force_terminal=terminal, width=80, markup=False, emoji=False)
    return ConsoleProgress(console, quiet=quiet, verbose=verbose)


def work(progress: Progress) -> None:
    with progress.task("dump", 10, "bytes") as task:
        task.advance(4)
        progress.note("a [note]")
        progress.warn("look [here]")
        task.advance(6)


def test_silent_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(Silent())
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_each_step_is_a_line() -> None:
    stream = io.StringIO()
    progress = progress_on(stream)
    with progress.task("restore"):
        work(progress)  # it takes no time, so its own line would say nothing
        time.sleep(0.06)
    assert stream.getvalue() == "a [note]\nwarning: look [here]\nrestore: 0.1 s\n"


def test_verbose_tells_steps_that_took_no_time() -> None:
    stream = io.StringIO()
    work(progress_on(stream, verbose=True))
    assert stream.getvalue() == "a [note]\nwarning: look [here]\ndump: 0.0 s\n"


def test_quiet_leaves_the_warnings() -> None:
    for terminal in (False, True):
        stream = io.StringIO()
        work(progress_on(stream, quiet=True, terminal=terminal))
        assert "look [here]" in stream.getvalue()
        assert "note" not in stream.getvalue()
        assert "dump" not in stream.getvalue()


def test_a_step_that_failed_is_not_told_as_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), progress_on(stream).task("dump"):
        raise ValueError("no")
    assert stream.getvalue() == ""


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_goes_away() -> None:
    stream = io.StringIO()
    progress = progress_on(stream, terminal=True)
    with progress.task("dump", 20_000_000, "bytes") as dump, progress.task("hash", 4) as count:
        dump.advance(5_000_000)
        count.advance(1)
        time.sleep(0.3)  # bars are drawn ten times a second
    text = stream.getvalue()
    assert "5/20 MB" in text
    assert "1/4" in text
    assert "\x1b[?25h" in text.rpartition("\x1b[?25l")[2], "the cursor must come back"
    with progress.task("again"):
        pass


def test_bytes_of_unknown_length_are_counted() -> None:
    stream = io.StringIO()
    with progress_on(stream, terminal=True).task("upload", unit="bytes") as upload:
        upload.advance(5_000_000)
        time.sleep(0.3)
    assert "upload" in stream.getvalue()
    assert "5 MB" in stream.getvalue()
