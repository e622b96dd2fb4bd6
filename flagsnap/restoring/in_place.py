"""Restore in place: the recorded state within the live database, in one transaction, the old objects kept beside it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from flagsnap.errors import ChildFailed, FlagsnapError, HalfWay, UsageError
from flagsnap.postgres import in_place
from flagsnap.postgres.clients import Clients
from flagsnap.postgres.connection import Address, Connection
from flagsnap.postgres.dump import entry_description, psql_command, script_command
from flagsnap.postgres.statistics import analyze_and_count
from flagsnap.process import pump
from flagsnap.progress import Progress
from flagsnap.restoring.failures import restore_failed
from flagsnap.restoring.restore import Source, clients_for, read_toc, toc_list
from flagsnap.snapshot import RecordedDatabase

_DATABASE_WIDE = ("COMMENT - EXTENSION ", "EVENT TRIGGER ", "PUBLICATION", "SUBSCRIPTION ", "DATABASE ")


def restore_in_place(source: Source, live: Address, worker: Connection, lock_timeout: float, progress: Progress) -> str:
    """Put the recorded state in the place of the live objects; gives back the schema that keeps those of `public`.

    psql gets the whole as one script that begins with BEGIN and ends with COMMIT. The COMMIT is written only when
    pg_restore has ended well and after checks of every row count; a script that breaks off is undone by the server.
    """
    if what := in_place.unmovable(worker):
        raise UsageError(
            f"the database holds {what}, which cannot be kept aside in place",
            "give the role CREATEDB, and leave out --in-place",
        )
    clients = _clients(source, worker)
    targets = in_place.retired_names(in_place.user_schemas(worker), datetime.now(UTC))
    gone = set(targets) - _recorded_schemas(source.recorded)
    moves = list(in_place.move_statements(worker, targets, gone))
    manifest = source.manifest
    with source.on_disk(progress) as folder:
        dump = folder / "dumps" / source.recorded.alias
        extensions = in_place.read_extensions(worker)
        entries = read_toc(clients, dump, lambda entry: _stays(entry, targets, extensions), progress)
        begin = ["BEGIN", f"SET LOCAL lock_timeout = {int(lock_timeout * 1000)}", *moves]
        checks = [*in_place.row_checks(source.recorded.tables), "COMMIT"]
        with toc_list(entries) as path, progress.task("restore in place"):
            try:
                pump(
                    script_command(clients, dump, path),
                    psql_command(clients, live),
                    before=_script(begin),
                    after=[_script(checks)],
                )
            except ChildFailed as error:
                raise restore_failed(error) from error
    try:
        analyze_and_count(live, source.jobs, progress)
    except FlagsnapError as error:
        raise HalfWay(
            f"the restore in place is done, but not its planner statistics: {error}",
            f"run ANALYZE in the database, then `flagsnap verify --expect {manifest.deploy_id}`",
        ) from error
    return targets["public"] if "public" in targets else next(iter(targets.values()))


def undo_in_place(worker: Connection) -> str | None:
    """Swap the objects of the newest in-place restore back, in one transaction; None if there was none.

    Gives back the schema in which those that were live until now are kept.
    """
    stamps = in_place.retired_stamps(worker)
    if not stamps:
        return None
    back = in_place.retired_schemas(worker, stamps[0])
    present = in_place.user_schemas(worker)
    away = in_place.retired_names(present, datetime.now(UTC))
    gone = set(present) - set(back.values())
    with worker.transaction():
        for statement in [
            *in_place.move_statements(worker, away, gone),
            *in_place.return_statements(worker, back, present),
        ]:
            worker.execute(statement)  # made of quoted identifiers
    return away.get("public", next(iter(away.values())))


def _clients(source: Source, worker: Connection) -> Clients:
    clients = clients_for(source, worker)
    server = worker.info.server_version // 10000
    if clients.major >= 17 > server:
        raise UsageError(
            f"in place, PostgreSQL {server} needs its own psql and pg_restore; {clients.version} was found",
            f"install the package postgresql-client-{server}",
        )
    return clients


def _recorded_schemas(recorded: RecordedDatabase) -> set[str]:
    """The schemas that a restore fills; public, which is no object of the catalog, is always one."""
    identities = (item.identity for item in recorded.schema_catalog.objects)
    return {"public", *(identity.name for identity in identities if identity.kind == "schema")}


def _stays(entry: str, schemas: Mapping[str, str], extensions: set[str]) -> bool:
    """Whether something of the dump is in the database already, or is not of one schema."""
    description = entry_description(entry)
    # Names are printed as they are, with their spaces; behind a schema's comes its owner's.
    there = (*(f"SCHEMA - {name} " for name in schemas), *(f"EXTENSION - {name} " for name in extensions))
    return description.startswith((*there, *_DATABASE_WIDE))


def _script(statements: list[str]) -> str:
    return "".join(f"{statement};\n" for statement in statements)
