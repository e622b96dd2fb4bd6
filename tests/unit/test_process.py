"""Children: real programs that are verbose, silent, killed, or not there."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flagsnap.errors import ChildFailed, UsageError
from flagsnap.process import TAIL_LINES, Child, Command, pump, run
from tests.integration.captures import is_running


def python(program: str, **env: str) -> Command:
    return Command((sys.executable, "-c", program), env=env)


def test_run_gives_back_the_output() -> None:
    assert run(python("print('größer')")) == "größer\n"


def test_arguments_meet_no_shell(tmp_path: Path) -> None:
    dangerous = f"; touch {tmp_path}/made $HOME `id` $(id) *"
    assert run(Command((sys.executable, "-c", "import sys; print(sys.argv[1])", dangerous))) == dangerous + "\n"
    assert list(tmp_path.iterdir()) == []


def test_environment_is_added_and_kept_out_of_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "1")
    command = python("import os; print(os.environ['OUTER'], os.environ['PGPASSWORD'])", PGPASSWORD="sesame")
    assert run(command) == "1 sesame\n"
    assert "sesame" not in repr(command)


def test_both_pipes_are_drained() -> None:
    megabyte = "for s in (sys.stderr, sys.stdout):\n for _ in range(1024): s.write('x' * 1023 + '\\n')\n s.flush()"
    lines: list[str] = []
    output = run(python(f"import sys\n{megabyte}"), lines.append)
    assert len(output) == 1 << 20
    assert len(lines) == 1024


def test_a_failure_tells_the_code_and_the_last_words() -> None:
    program = "import sys\nfor n in range(50): print('line', n, file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(ChildFailed) as failed:
        run(python(program))
    assert failed.value.code == 3
    assert failed.value.program == Path(sys.executable).name
    assert failed.value.tail.splitlines() == [f"line {number}" for number in range(50 - TAIL_LINES, 50)]
    assert "ended with exit code 3: line 49" in str(failed.value)


def test_a_child_that_was_killed_says_so() -> None:
    with pytest.raises(ChildFailed, match="was killed by signal 9"):
        run(python("import os; os.kill(os.getpid(), 9)"))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot run /no/such/program: No such file or directory"):
        run(Command(("/no/such/program",)))
    (tmp_path / "data").write_text("not a program")
    with pytest.raises(UsageError, match="Permission denied"):
        run(Command((str(tmp_path / "data"),)))


def test_leaving_the_block_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    grandchild = "import time, pathlib, os; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    pid_file = tmp_path / "pid"
    with Child(Command((sys.executable, "-c", program), folder=tmp_path)) as child:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert not _is_alive(child.pid)
    until = time.monotonic() + 5  # nobody waits for the grandchild
    while _is_alive(int(pid_file.read_text())):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_lines_come_while_the_child_runs_and_bytes_that_are_no_text_are_replaced() -> None:
    program = "import sys, time\nsys.stdout.buffer.write(b'one \\xff\\n'); sys.stdout.flush(); time.sleep(60)"
    with Child(python(program)) as child:
        lines = child.lines(silence=20)
        assert next(lines) == "one \N{REPLACEMENT CHARACTER}\n"


def test_silence_is_noticed() -> None:
    with Child(python("import time; time.sleep(60)")) as child, pytest.raises(TimeoutError):
        next(child.lines(silence=0.1))


def test_writing_to_a_child_that_has_ended() -> None:
    program = "import sys; sys.stdin.close(); sys.exit('gave up')"
    with Child(python(program)) as child, pytest.raises(ChildFailed, match="gave up"):
        _write_on(child)


def test_pump_sends_all_between_what_comes_before_and_after(tmp_path: Path) -> None:
    sink = Command((sys.executable, "-c", "import sys; open('out', 'w').write(sys.stdin.read())"), folder=tmp_path)
    pump(python("print('x' * 200000)"), sink, "BEGIN;\n", ["COMMIT;\n", "\n"])
    written = (tmp_path / "out").read_text()
    assert written == "BEGIN;\n" + "x" * 200000 + "\nCOMMIT;\n\n"


def test_pump_never_sends_the_end_when_the_source_failed(tmp_path: Path) -> None:
    keep = "import sys\nwith open('out', 'w') as f:\n for line in sys.stdin: f.write(line); f.flush()"
    sink = Command((sys.executable, "-c", keep), folder=tmp_path)
    wait = "import os, sys, time\nprint('half', flush=True)\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)"
    source = Command((sys.executable, "-c", f"{wait}\nsys.exit(4)", str(tmp_path / "out")))
    with pytest.raises(ChildFailed, match="ended with exit code 4"):
        pump(source, sink, "BEGIN;\n", ["COMMIT;\n"])
    assert "COMMIT" not in (tmp_path / "out").read_text()


def test_pump_names_the_sink_when_that_failed() -> None:
    with pytest.raises(ChildFailed, match="ended with exit code 1: no more"):
        pump(python("while True: print('x' * 1000)"), python("import sys; sys.exit('no more')"))


def _write_on(child: Child) -> None:
    while True:
        child.write(b"x" * 65536)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nobody reaps orphans, the dead stay as zombies.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


TALKER = "import sys, time\nfor n in range(200):\n print('line', n, file=sys.stderr, flush=True)\n"


def test_a_child_that_is_held_back_waits_with_its_next_words(tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = f"{TALKER} open({str(done)!r}, 'w').write(str(n))"
    released = threading.Event()
    lines: list[str] = []
    with Child(python(program), lines.append, lambda: not released.is_set()) as child:
        until = time.monotonic() + 10
        while not done.exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.3)
        ahead = int(done.read_text())
        assert ahead < 40, "a pipe would have taken all 200 lines"
        released.set()
        child.finish()
    assert lines == [f"line {number}" for number in range(200)]


def test_a_child_that_is_held_back_can_be_ended() -> None:
    began = time.monotonic()
    with Child(python(f"{TALKER}\ntime.sleep(60)"), lambda _: None, lambda: True):
        time.sleep(0.2)
    assert time.monotonic() - began < 5


def test_a_child_that_is_held_back_ends_when_flagsnap_is_killed() -> None:
    talker = f"{TALKER}\nprint('never')"
    outer = (
        "import sys\nfrom flagsnap.process import Child, Command\n"
        f"child = Child(Command((sys.executable, '-c', {talker!r})), lambda _: None, lambda: True)\n"
        "print(child.pid, flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        time.sleep(0.3)
        process.kill()
    until = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < until, "it waits for ever"
        time.sleep(0.01)


def test_what_a_handler_raises_ends_the_child() -> None:
    def refuse(line: str) -> None:
        raise UsageError(f"refused at {line}")

    began = time.monotonic()
    with pytest.raises(UsageError, match="refused at line 0"):
        run(python(f"{TALKER}\ntime.sleep(60)"), refuse)
    assert time.monotonic() - began < 10
