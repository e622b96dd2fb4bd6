"""Recording: every statement of a migration's way back as PostgreSQL got it, and what the statements do not tell."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

from django.db.migrations.operations import RunSQL
from django.db.migrations.operations.base import Operation

from flagsnap.bridge.probe.facts import runs_code
from flagsnap.bridge.probe.watching import Table, replaced, tables, watched

MOST_STATEMENTS = 20000  # of one operation
SETTINGS = (
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "bytea_output",
    "extra_float_digits",
    "search_path",
    "standard_conforming_strings",
)

FAILED = "a statement that failed"
UNBOUND = "a statement whose parameters cannot be bound"
TOO_MANY = f"more than {MOST_STATEMENTS:,} statements"
ON_COMMIT = "a function that is called on commit"
OWN_TRANSACTION = "a transaction of its own"
COPY = "COPY"
SERVER_SIDE = "a server-side cursor"
OWN_CURSOR = "a cursor of the driver's own"

SAVEPOINT = re.compile(r"\s*(SAVEPOINT|RELEASE)\b[^;]*;?\s*$", re.IGNORECASE)
ROLLBACK = re.compile(r"(?:^|;)\s*ROLLBACK\s+(?:WORK\s+|TRANSACTION\s+)?TO\b", re.IGNORECASE)
COPIES = re.compile(r"\s*COPY\b", re.IGNORECASE)
READS = re.compile(r"[\s(]*SELECT\b", re.IGNORECASE)
QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
TRANSACTION = re.compile(
    r"(?:^|;)\s*(BEGIN|START\s+TRANSACTION|COMMIT|ROLLBACK|ABORT|PREPARE\s+TRANSACTION)\b", re.IGNORECASE
)

# What a cursor of psycopg or psycopg2 can be told that reaches the server.
SPEAKING = ("execute", "executemany", "stream", "callproc", "copy", "copy_expert", "copy_from", "copy_to")


class RenameContentType(Operation):  # type: ignore[misc]  # Django has no types
    """django.contrib.contenttypes.management.RenameContentType, the way back as one statement whatever the rows are."""

    def __init__(self, app_label: str, old_model: str, new_model: str) -> None:
        self.app_label, self.old_model, self.new_model = app_label, old_model, new_model

    def state_forwards(self, app_label: str, state: Any) -> None:
        """As it is: only rows change."""

    def database_backwards(self, _: str, schema_editor: Any, from_state: Any, __: Any) -> None:
        """Rename it; where one of the old name is there, both stay, as Django has it."""
        try:
            content_type = from_state.apps.get_model("contenttypes", "ContentType")
        except LookupError:
            return
        table = schema_editor.quote_name(content_type._meta.db_table)  # noqa: SLF001  # Django's documented API
        schema_editor.execute(
            f"UPDATE {table} SET model = %s WHERE app_label = %s AND model = %s"  # noqa: S608  # quoted above
            f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE app_label = %s AND model = %s)",
            [self.old_model, self.app_label, self.new_model, self.app_label, self.old_model],
        )
        content_type.objects.clear_cache()


def rename_content_types_by_sql(migrations: Iterable[Any]) -> None:
    """Put our operation in the place of each that Django has injected."""
    from django.contrib.contenttypes import management  # noqa: PLC0415  # only where it is installed

    for migration in migrations:
        for at, operation in enumerate(migration.operations):
            if type(operation) is management.RenameContentType:
                names = operation.app_label, operation.old_model, operation.new_model
                migration.operations[at] = RenameContentType(*names)


class Recorded:
    """The way back of one operation, as it goes to flagsnap."""

    def __init__(self, kind: str, runs_code: bool) -> None:
        self.kind, self.runs_code = kind, runs_code
        self.statements: List[str] = []
        self.noticed: List[str] = []
        self.wrote: List[Dict[str, Any]] = []

    def notice(self, what: str) -> None:
        """Note what the statements do not tell."""
        if what not in self.noticed:
            self.noticed.append(what)


class Declared:
    """Stands for the schema editor of RunSQL: takes its statements down, and executes none."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.connection = recorder.connection
        self.statements: List[Optional[str]] = []

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Take it down as it would be recorded."""
        self.statements.append(self.recorder.bound(sql, params))


class Recorder:
    """Writes down the way back of one migration at a time."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.operations: List[Recorded] = []
        self.current: Optional[Recorded] = None
        self.apart_depth = 0

    def session(self) -> Dict[str, Any]:
        """Whose the statements are, and the settings that they run under."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT current_user, " + ", ".join("current_setting('%s')" % each for each in SETTINGS))
            role, *values = cursor.fetchone()
        return {"role": role, "settings": dict(zip(SETTINGS, values))}

    @contextmanager
    def recording(self, migration: Any, bookkeeping: Any) -> Iterator[None]:
        """Record what happens inside; rows of `django_migrations`, which `bookkeeping` deletes, are flagsnap's."""
        self.operations, self.current = [], None
        self.connection.ensure_connection()
        with ExitStack() as stack:
            stack.enter_context(self.drivers_cursors())
            stack.enter_context(replaced(self.connection, "_rollback", self.rolled_back))
            stack.enter_context(replaced(bookkeeping, "record_unapplied", self.left_out))
            stack.enter_context(watched(migration.operations, "database_backwards", self.operation))
            stack.enter_context(self.connection.execute_wrapper(self.execute))
            yield
        if not type(migration).unapply.__module__.startswith("django."):
            self.operations.append(Recorded("unapply", runs_code=True))

    def answer(self) -> List[Dict[str, Any]]:
        """The operations of the migration that was recorded last."""
        return [vars(each) for each in self.operations]

    def operation(self, operation: Any, run: Callable[[], Any]) -> Any:
        """Record one operation."""
        kind = type(operation)
        own = not isinstance(operation, RenameContentType) and (
            runs_code(operation, "reverse_code") or not kind.database_backwards.__module__.startswith("django.")
        )
        before = self.tables() if own else {}
        on_commit = len(self.connection.run_on_commit)
        self.current = recorded = Recorded(kind.__name__, own)
        self.operations.append(recorded)
        result = run()
        self.current = None
        if len(self.connection.run_on_commit) > on_commit:
            recorded.notice(ON_COMMIT)
        if own:
            recorded.wrote = self.wrote(before, self.tables())
            recorded.runs_code = not self.is_declared(operation, recorded.statements)
        return result

    def is_declared(self, operation: Any, statements: List[str]) -> bool:
        """Whether a RunSQL of the project's own class ran nothing but its `reverse_sql`.

        Such classes look at the database's vendor first, and leave the rest to Django's.
        """
        if not isinstance(operation, RunSQL) or operation.reverse_sql is None:
            return False
        declared = Declared(self)
        RunSQL._run_sql(operation, declared, operation.reverse_sql)  # noqa: SLF001  # what `database_backwards` calls
        return set(statements) <= set(declared.statements)

    def going_on(self) -> Recorded:
        """The operation that runs; else what is between them, or behind the last."""
        if self.current is None and (not self.operations or self.operations[-1].kind):
            self.operations.append(Recorded("", runs_code=False))
        return self.current or self.operations[-1]

    def notice(self, what: str) -> None:
        """Note it of what is going on."""
        self.going_on().notice(what)

    def execute(self, execute: Any, sql: Any, params: Any, many: bool, context: Dict[str, Any]) -> Any:
        """Record what Django's cursors execute: the innermost wrapper, which sees what PostgreSQL gets."""
        if self.apart_depth:
            return execute(sql, params, many, context)
        params = list(params) if many else params
        server_side = bool(getattr(context["cursor"].cursor, "name", None))
        try:
            with self.apart():
                statements = [self.bound(sql, each) for each in (params if many else [params])]
                result = execute(sql, params, many, context)
        except BaseException:
            self.notice(FAILED)
            raise
        for statement in statements:
            self.keep(statement, server_side)
        return result

    def bound(self, sql: Any, params: Any) -> Optional[str]:
        """The statement with its parameters filled in as the driver does it, None if it does not."""
        if self.current and TOO_MANY in self.current.noticed:
            return ""
        try:
            if params is None:
                text = sql.as_string(self.connection.connection) if hasattr(sql, "as_string") else sql
            elif hasattr(self.connection.ops, "compose_sql"):  # since Django 4.2
                text = self.connection.ops.compose_sql(sql, params)
            else:
                with self.connection.cursor() as cursor:
                    text = cursor.mogrify(sql, params)
            return text.decode() if isinstance(text, bytes) else str(text)
        except Exception:  # noqa: BLE001  # whatever a driver or a parameter's adapter raises
            return None

    def keep(self, statement: Optional[str], server_side: bool) -> None:
        """Take it down, if it is one that can be repeated."""
        plain = QUOTED.sub(" ", statement or "")
        if statement is None:
            self.notice(UNBOUND)
        elif ROLLBACK.search(plain):
            self.notice(FAILED)
        elif TRANSACTION.search(plain):
            self.notice(OWN_TRANSACTION)
        elif COPIES.match(plain):
            self.notice(COPY)
        elif server_side and not (self.current and self.current.runs_code and READS.match(plain)):
            self.notice(SERVER_SIDE)  # code that reads its rows through one, as QuerySet.iterator does, is just code
        elif statement and not SAVEPOINT.match(plain):
            self.kept(statement)

    def kept(self, statement: str) -> None:
        """Add a statement to what is going on, unless there are too many: then none is of use."""
        recorded = self.going_on()
        recorded.statements.append(statement)
        if len(recorded.statements) > MOST_STATEMENTS:
            recorded.statements.clear()
            recorded.notice(TOO_MANY)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let pass what is recorded already, or is not the migration's."""
        self.apart_depth += 1
        try:
            yield
        finally:
            self.apart_depth -= 1

    def left_out(self, original: Any, *arguments: Any, **named: Any) -> Any:
        """Run what is not to be recorded."""
        with self.apart():
            return original(*arguments, **named)

    def rolled_back(self, original: Any) -> Any:
        """A transaction inside a migration that is not atomic; savepoints are statements."""
        self.notice(FAILED)
        return original()

    @contextmanager
    def drivers_cursors(self) -> Iterator[None]:
        """See what does not go through Django's `execute`: COPY, and cursors that were asked of the driver itself."""
        driver = self.connection.connection
        names = [name for name in ("cursor_factory", "server_cursor_factory") if hasattr(driver, name)]
        found = {name: getattr(driver, name) for name in names}
        with driver.cursor() as cursor:
            default = type(cursor)
        for name, factory in found.items():
            setattr(driver, name, self.seen(factory or default))
        try:
            yield
        finally:
            for name, factory in found.items():
                setattr(driver, name, factory)

    def seen(self, base: Any) -> Any:
        """A class of cursors that tell."""

        def telling(name: str) -> Any:
            original = getattr(base, name)

            def method(cursor: Any, *arguments: Any, **named: Any) -> Any:
                if not self.apart_depth:
                    self.told(name, *arguments)
                return self.left_out(original, cursor, *arguments, **named)

            return method

        return type(base.__name__, (base,), {name: telling(name) for name in SPEAKING if hasattr(base, name)})

    def told(self, name: str, text: Any = "", *_: Any) -> None:
        """A cursor was told something behind Django's back."""
        if name.startswith("copy"):
            self.notice(COPY)
        elif name == "callproc" or not READS.match(text.decode() if isinstance(text, bytes) else str(text)):
            self.notice(OWN_CURSOR)  # drivers look up types with cursors of their own, which only reads

    def tables(self) -> Dict[int, Table]:
        """The tables, asked behind the recording's back."""
        with self.apart():
            return tables(self.connection)

    def wrote(self, before: Dict[int, Table], now: Dict[int, Table]) -> List[Dict[str, Any]]:
        """The tables whose rows are not what they were."""
        new = {oid: table._replace(written=0) for oid, table in now.items()}
        changed = [oid for oid in now if now[oid][2:] != before.get(oid, new[oid])[2:]]
        with self.apart(), self.connection.cursor() as cursor:
            return [
                dict(wrote_of(cursor, oid), oid=oid, table_schema=now[oid].schema, table=now[oid].name)
                for oid in changed
            ]


def wrote_of(cursor: Any, oid: int) -> Dict[str, Any]:
    """A table's columns, and whether it has triggers."""
    cursor.execute(
        "SELECT attname, attnum FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped", [oid]
    )
    columns = dict(cursor.fetchall())
    cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal)", [oid])
    return {"columns": columns, "triggers": cursor.fetchone()[0]}
