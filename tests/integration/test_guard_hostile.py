"""Migrations that read and write elsewhere, start processes and call the network: in a rehearsal they cannot."""

import socket
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.fix_deploys import Deploys
from tests.integration.guarded import Guarded

READS = "Confined: a rehearsal may only read from "
POOLER = ", and this session is not read only (is a pooler in between?)"
BEYOND = ": it reaches beyond the scratch database"


@pytest.fixture
def guarded(deploys: Deploys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    """A project with aliases of all kinds; `DATABASE_URL` is the live database, and `LIVE` and `OTHER` are names."""
    found = Guarded(deploys, tmp_path)
    monkeypatch.setenv("DATABASE_URL", found.live.url)
    monkeypatch.setenv("OTHER_URL", found.live.server.url(found.other.name))
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite")}
    with sqlite3.connect(sqlite["NAME"]) as connection:
        connection.execute("CREATE TABLE notes (text text)")
        connection.execute("INSERT INTO notes VALUES ('kept')")
    connection.close()
    found.aliases |= {
        "same": found.settings(found.live),
        "other": found.settings(found.other),
        "gone": found.settings(found.other, PORT="1"),
        "files": sqlite,
    }
    found.begin()
    return found


def refused_connection(database: str) -> str:
    """What is said of a driver's connection to another database."""
    return f"Confined: a rehearsal may only connect to the scratch database, not to {database}"


def query(alias: str, *statements: str) -> str:
    """The body of a function that executes statements by an alias, and gives back the last one's first value."""
    lines = [f"    cursor.execute({statement!r})" for statement in statements]
    return "\n".join([f"with connections[{alias!r}].cursor() as cursor:", *lines, "    return cursor.fetchone()[0]"])


def test_aliases(guarded: Guarded, tmp_path: Path) -> None:
    read, write = "SELECT text FROM notes", "UPDATE notes SET text = 'changed'"
    raw = "cursor = connections[{!r}].connection.cursor()\ncursor.execute({!r})"
    said = guarded.attempts(
        same=query("same", "UPDATE flags_flag SET name = 'changed' RETURNING name"),
        other_reads=query("other", read),
        other_writes=query("other", write),
        other_creates=query("other", "CREATE TABLE more (id int)"),
        other_function=query("other", "SELECT pg_catalog.lo_create(0)"),
        other_session=query("other", "SET statement_timeout = 10000", read),
        other_lifts=query("other", "SET default_transaction_read_only = off"),
        other_lifts_by_function=query("other", "SELECT set_config('default_transaction_read_only', 'off', false)"),
        other_second=query("other", f"{read}; {write}"),
        other_expression=query("other", f"WITH w AS ({write} RETURNING text) SELECT text FROM w"),
        other_raw=raw.format("other", write),
        other_composed=(
            "from psycopg import sql\ncursor = connections['other'].connection.cursor()\n"
            "cursor.execute(sql.SQL('DELETE FROM {}').format(sql.Identifier('notes')))"
        ),
        other_many="with connections['other'].cursor() as cursor:\n"
        "    cursor.executemany('DELETE FROM notes WHERE text = %s', [['kept']])",
        other_transaction="with transaction.atomic(using='other'):\n    "
        + query("other", read).replace("\n", "\n    "),
        other_thread=f"""
            import threading
            said = []
            def work():
                try:
                    with connections["other"].cursor() as cursor:
                        cursor.execute({write!r})
                except Exception as error:
                    said.append(str(error))
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return said[0]
        """,
        other_driver_in_autocommit=(
            "raw = connections['other'].connection\nraw.autocommit = True\nraw.execute(\"DELETE FROM notes\")"
        ),
        gone=query("gone", read),
        files_read=query("files", read),
        files_write=query("files", write),
        files_raw=raw.format("files", write),
        files_script="with connections['files'].cursor() as cursor:\n    cursor.executescript('DELETE FROM notes')",
        files_schema="with connections['files'].schema_editor() as editor:\n    editor.execute('VACUUM')",
    )
    other = f"the database {guarded.other.name}"
    files = "the SQLite database 'files'"
    assert said.pop("gone").startswith("OperationalError: ")
    assert said == {
        "same": "done: changed",
        "other_reads": "done: kept",
        "other_writes": f"{READS}{other} (UPDATE)",
        "other_creates": f"{READS}{other} (CREATE)",
        "other_function": "InternalError: cannot execute lo_create() in a read-only transaction",
        "other_session": "done: kept",
        "other_lifts": f"{READS}{other} (SET)",
        "other_lifts_by_function": f"{READS}{other} (SELECT)",
        "other_second": f"{READS}{other} (SELECT)",
        "other_expression": f"{READS}{other} (WITH)",
        "other_raw": f"{READS}{other} (UPDATE)",
        "other_composed": f"{READS}{other} (DELETE)",
        "other_many": f"{READS}{other} (DELETE)",
        "other_transaction": "done: kept",
        "other_thread": f"done: {READS.removeprefix('Confined: ')}{other} (UPDATE)",
        "other_driver_in_autocommit": f"{READS}{other} (DELETE)",
        "files_read": "done: kept",
        "files_write": f"{READS}{files} (UPDATE)",
        "files_raw": "OperationalError: attempt to write a readonly database",
        "files_script": "OperationalError: attempt to write a readonly database",
        "files_schema": f"{READS}{files} (PRAGMA)",
    }
    with sqlite3.connect(tmp_path / "db.sqlite") as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("kept",)]
    connection.close()


def test_connections_of_ones_own(guarded: Guarded) -> None:
    delete = "DELETE FROM flags_flag RETURNING name"
    head = "import os, psycopg, psycopg2\nfrom django.conf import settings\n"
    parts = (
        head + "found = settings.DATABASES['default']\n"
        "parts = {'dbname': found['NAME'], 'user': found['USER'], 'password': found['PASSWORD'],"
        " 'host': found['HOST'], 'port': found['PORT']}\n"
    )
    run = f"\nwith raw.cursor() as cursor:\n    cursor.execute({delete!r})\n    return cursor.fetchone()[0]"
    asynchronous = "import asyncio\nraw = asyncio.run(psycopg.AsyncConnection.connect(os.environ['DATABASE_URL']))"
    said = guarded.attempts(
        psycopg=head + "raw = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)" + run,
        psycopg_class=head + "raw = psycopg.Connection.connect(os.environ['DATABASE_URL'], autocommit=True)" + run,
        psycopg_async=head + asynchronous,
        psycopg_other=head + "raw = psycopg.connect(os.environ['OTHER_URL'])",
        psycopg2=head + "raw = psycopg2.connect(os.environ['DATABASE_URL'])" + run,
        psycopg2_other=head + "raw = psycopg2.connect(os.environ['OTHER_URL'])",
        psycopg2_async=head + "raw = psycopg2.connect(os.environ['DATABASE_URL'], async_=True)",
        settings=parts + "raw = psycopg.connect(**parts)" + run,
        settings2=parts + "raw = psycopg2.connect(**parts)" + run,
        settings_dblink=parts + "raw = psycopg2.connect(**parts)\nraw.cursor().execute(\"SELECT dblink_exec('x')\")",
        handler="from django.db.utils import ConnectionHandler\nimport copy\nfrom django.conf import settings\n"
        f"found = copy.deepcopy(settings.DATABASES['default'])\nfound['NAME'] = {guarded.live.name!r}\n"
        "connections = ConnectionHandler({'default': found})\n" + query("default", delete),
        handler_other="from django.db.utils import ConnectionHandler\nimport copy\nfrom django.conf import settings\n"
        f"found = copy.deepcopy(settings.DATABASES['default'])\nfound['NAME'] = {guarded.other.name!r}\n"
        "connections = ConnectionHandler({'default': found})\n" + query("default", "DELETE FROM notes"),
        copy="connections = {'copy': connection.copy()}\n" + query("copy", "SELECT current_database()"),
        administration="with connection._nodb_cursor() as cursor:\n    cursor.execute('SELECT 1')",
        raw="cursor = connection.connection.cursor()\ncursor.execute('SELECT current_database()')\n"
        "return cursor.fetchone()[0]",
        asynchronous=parts
        + """
async def work():
    async with await psycopg.AsyncConnection.connect(**parts) as raw:
        cursor = await raw.execute("SELECT current_database()")
        try:
            await raw.execute("DROP ROLE x")
        except PermissionError:
            return (await cursor.fetchone())[0]
import asyncio
return asyncio.run(work())
""",
        thread="""
            import threading
            said = []
            def work():
                with connections["default"].cursor() as cursor:
                    cursor.execute("SELECT current_database()")
                    said.append(cursor.fetchone()[0])
                connections["default"].close()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            return said[0]
        """,
    )
    live = f"Confined: a rehearsal may not connect to the live database {guarded.live.name}"
    scratch = f"done: {guarded.scratch.name}"
    assert said == {
        **dict.fromkeys(("psycopg", "psycopg_class", "psycopg_async", "psycopg2", "handler"), live),
        **dict.fromkeys(("psycopg_other", "psycopg2_other"), refused_connection(guarded.other.name)),
        "psycopg2_async": "Confined: a rehearsal may only connect to the scratch database, and not asynchronously",
        **dict.fromkeys(("settings", "settings2"), "done: scratch"),
        "settings_dblink": f"Confined: a rehearsal may not touch dblink{BEYOND}",
        "handler_other": f"{READS}the database {guarded.other.name}{POOLER}",
        "administration": f"{READS}the database postgres{POOLER}",
        **dict.fromkeys(("asynchronous", "copy", "raw", "thread"), scratch),
    }


def test_psycopg2_beneath_django(guarded: Guarded) -> None:
    """Where psycopg 3 is not installed, or Django is older than 4.2."""
    project = guarded.deploys.project
    project.apps = {
        "blocked": project.app("blocked", models="import sys\nsys.modules['psycopg'] = None"),
        **project.apps,
    }
    head = "import os, psycopg2, psycopg2.extras, psycopg2.sql\n"
    raw = head + "cursor = connections[{!r}].connection.cursor({})\ncursor.execute({})"
    delete = "'DELETE FROM notes'"
    said = guarded.attempts(
        driver="return connection.Database.__name__",
        same=query("same", "UPDATE flags_flag SET name = 'changed' RETURNING name"),
        other_reads=query("other", "SELECT text FROM notes"),
        other_writes=query("other", "DELETE FROM notes"),
        other_raw=raw.format("other", "", delete),
        other_bytes=raw.format("other", "", f"b{delete}"),
        other_composed=raw.format(
            "other", "", "psycopg2.sql.SQL('DELETE FROM {}').format(psycopg2.sql.Identifier('notes'))"
        ),
        other_named="with transaction.atomic('other'):\n    cursor = connections['other'].connection.cursor('named')\n"
        "    cursor.execute('SELECT 1')\n    return cursor.fetchone()[0]",
        other_factory=raw.format("other", "cursor_factory=psycopg2.extras.DictCursor", delete),
        dblink=query("default", "SELECT dblink_exec('x', 'y')"),
        program=raw.format("default", "", "'SELECT 1'") + "\ncursor.copy_expert(\"COPY a TO PROGRAM 'cat'\", None)",
        function=raw.format("default", "", "'SELECT 1'") + "\ncursor.callproc('pg_cancel_backend', [1])",
        harmless_function=raw.format("default", "", "'SELECT 1'")
        + "\ncursor.callproc('lower', ['A'])\nreturn cursor.fetchone()[0]",
        live=head + "psycopg2.connect(os.environ['DATABASE_URL'])",
        factory=head + "psycopg2.connect(os.environ['DATABASE_URL'], cursor_factory=psycopg2.extras.RealDictCursor)",
        own_factory=head + "from django.conf import settings\n"
        "raw = psycopg2.connect(connection.connection.dsn, password=settings.DATABASES['default']['PASSWORD'],"
        " cursor_factory=psycopg2.extras.RealDictCursor)\n"
        "cursor = raw.cursor()\ncursor.execute('SELECT name FROM flags_flag')\nreturn cursor.fetchone()['name']",
        own_backend=head
        + """
from django.db.backends.postgresql.base import DatabaseWrapper
class Own(DatabaseWrapper):
    def get_new_connection(self, parameters):
        return psycopg2.extensions.connection(os.environ['DATABASE_URL'])
with Own(connection.settings_dict).cursor() as cursor:
    cursor.execute('DELETE FROM flags_flag')
""",
        iterator="return [name for name in apps.get_model('flags', 'Flag').objects.values_list('name').iterator()]",
    )
    other = f"{READS}the database {guarded.other.name} "
    live = f"Confined: a rehearsal may not connect to the live database {guarded.live.name}"
    beyond = "Confined: a rehearsal may not touch {}" + BEYOND
    assert said == {
        "driver": "done: psycopg2",
        "same": "done: changed",
        "other_reads": "done: kept",
        **dict.fromkeys(("other_writes", "other_raw", "other_bytes", "other_composed"), f"{other}(DELETE)"),
        "other_named": "done: 1",
        "other_factory": "ReadOnlySqlTransaction: cannot execute DELETE in a read-only transaction",
        "dblink": beyond.format("dblink"),
        "program": beyond.format("COPY with a program"),
        "function": beyond.format("a function that reaches the server"),
        "harmless_function": "done: a",
        **dict.fromkeys(("live", "factory", "own_backend"), live),
        "own_factory": "done: changed",
        "iterator": "done: [('changed',)]",
    }


def test_processes_and_libraries(guarded: Guarded) -> None:
    said = guarded.attempts(
        run="import subprocess, os\nsubprocess.run(['psql', os.environ['DATABASE_URL'], '-c', 'DROP TABLE a'])",
        system='import os\nos.system(\'psql "$DATABASE_URL" -c "DROP TABLE flags_flag"\')',
        popen="import os\nos.popen('true').read()",
        execute="import os\nos.execv('/bin/true', ['true'])",
        fork="import os\nos.fork()",
        spawn="import os\nos.posix_spawn('/bin/true', ['true'], {})",
        wait="import os\nos.spawnv(os.P_WAIT, '/bin/true', ['true'])",
        terminal="import pty\npty.spawn('/bin/true')",
        **{
            f"{method}_method": "import multiprocessing\n"
            f"multiprocessing.get_context('{method}').Process(target=print).start()"
            for method in ("spawn", "fork", "forkserver")
        },
        pool="from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(1) as pool:\n    pool.submit(print).result()",
        shell="connection.client.runshell([])",
        library="import ctypes\nctypes.CDLL(None).system(b'true')",
    )
    process = "Confined: a rehearsal may not start processes "
    assert {name: words for name, words in said.items() if not words.startswith(process)} == {
        "library": "Confined: a rehearsal may not load libraries (ctypes.dlopen)"
    }
    assert said["run"] == f"{process}(subprocess.Popen)"
    assert said["spawn_method"] == f"{process}(fork_exec)"


def test_the_network(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    packets = socket.socket(type=socket.SOCK_DGRAM)
    packets.bind(("127.0.0.1", 0))
    arrived: list[object] = []

    def listen() -> None:
        while True:
            try:
                arrived.append(listener.accept()[1])
            except OSError:
                return

    threading.Thread(target=listen, daemon=True).start()
    monkeypatch.setenv("PORT", str(listener.getsockname()[1]))
    monkeypatch.setenv("PACKETS", str(packets.getsockname()[1]))
    address = "import os, socket\naddress = ('127.0.0.1', int(os.environ['PORT']))\n"
    said = guarded.attempts(
        fetch="import os, urllib.request\nurllib.request.urlopen('http://127.0.0.1:%s' % os.environ['PORT'])",
        client=address + "import http.client\nhttp.client.HTTPConnection(*address).request('GET', '/')",
        plain=address + "socket.create_connection(address)",
        error_code=address + "socket.socket().connect_ex(address)",
        packet=address
        + "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', int(os.environ['PACKETS'])))",
        loop=address + "import asyncio\nasyncio.run(asyncio.open_connection(*address))",
        mail="import os\nfrom django.core.mail import send_mail, get_connection\n"
        "get_connection('django.core.mail.backends.smtp.EmailBackend', host='127.0.0.1', port=int(os.environ['PORT']))"
        ".open()",
        pair="import socket\nhere, there = socket.socketpair()\nhere.send(b'within')\nreturn there.recv(9).decode()",
    )
    packets.setblocking(False)
    with pytest.raises(BlockingIOError):
        packets.recv(1)
    packets.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    assert arrived == []
    assert said.pop("pair") == "done: within"
    assert {words.partition(" (")[0].partition("a rehearsal")[2] for words in said.values()} == {
        " may not use the network"
    }


def test_statements_that_reach_beyond_the_database(guarded: Guarded) -> None:
    live = guarded.live
    name = f"{live.name}_role"
    string = f"dbname={live.name}"
    guarded.scratch.execute("CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw")
    statements = {
        "dblink": f"SELECT dblink_exec('{string}', 'DROP TABLE flags_flag')",
        "dblink_in_a_block": f"DO $$ BEGIN PERFORM dblink_exec('{string}', 'DROP TABLE flags_flag'); END $$",
        "server": "CREATE SERVER live FOREIGN DATA WRAPPER postgres_fdw",
        "role": f'CREATE ROLE "{name}"',
        "role_in_a_block": f"DO $$ BEGIN EXECUTE 'CREATE ROLE {name}'; END $$",
        "database": f"ALTER DATABASE {live.name} SET work_mem = '1MB'",
        "comment": f"COMMENT ON DATABASE {live.name} IS 'hello'",
        "program": "COPY (SELECT 1) TO PROGRAM 'cat'",
        "end": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'none'",
        "subscription": "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false)",
    }
    said = guarded.attempts(
        **{each: query("default", statement) for each, statement in statements.items()},
        copy="with connection.cursor() as cursor:\n    with cursor.copy(\"COPY (SELECT 1) TO PROGRAM 'cat'\"): pass",
        harmless=query(
            "default",
            "CREATE TABLE links (dblink_id int, text text)",
            "INSERT INTO links (dblink_id, text) VALUES (1, 'create role; dblink(x)') -- drop database\nRETURNING text",
        ),
    )
    assert said.pop("harmless") == "done: create role; dblink(x)"
    assert [words for words in said.values() if not words.startswith("Confined: ") or not words.endswith(BEYOND)] == []
