"""`flagsnap verify`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flagsnap.cli.monitoring import Metrics, Ping, monitored
from flagsnap.cli.run import Run
from flagsnap.errors import UsageError

if TYPE_CHECKING:
    from flagsnap.verifying.request import GroundFor, Ladder, VerifyRequest


class Level(StrEnum):
    """How far up the ladder a snapshot is checked."""

    MANIFEST = "manifest"
    FILES = "files"
    TOC = "toc"
    DRILL = "drill"


Id = Annotated[str | None, typer.Argument(help="The snapshot; the newest capture without it.", metavar="[ID]")]
LevelOption = Annotated[
    Level | None,
    typer.Option(
        help="manifest: it can be read; files: and every byte has its hash; toc: and pg_restore reads the table of"
        " contents; drill: and it was restored and compared. Without it: files."
    ),
]
All = Annotated[bool, typer.Option("--all", help="All snapshots, archives too.")]
Newest = Annotated[int | None, typer.Option(help="The N newest captures.", metavar="N", min=1)]
Sample = Annotated[str | None, typer.Option(help="Read so much of the bytes, in rotation: 5%.", metavar="SHARE")]
BudgetOption = Annotated[
    str | None, typer.Option(help="The time for all: 30m; what was checked longest ago goes first.", metavar="DUR")
]
MaxAge = Annotated[str | None, typer.Option(help="Fail if no capture is younger: 26h.", metavar="DUR")]
Expect = Annotated[
    str | None, typer.Option(help="Demand that the live database is what this snapshot recorded.", metavar="ID")
]
Live = Annotated[
    bool | None,
    typer.Option(
        "--live/--no-live",
        help="Look for changes of the live database outside a deploy. Without it: if no ID is named.",
        show_default=False,
    ),
]
DrillUrl = Annotated[
    str | None,
    typer.Option(
        help="Drill on this server; its database is only where to connect. [FLAGSNAP_DRILL_URL]",
        metavar="URL",
        envvar="FLAGSNAP_DRILL_URL",
        show_envvar=False,
        show_default=False,
    ),
]
DrillEmbedded = Annotated[
    bool, typer.Option("--drill-embedded", help="Drill on a server that is started for it on this machine.")
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Keep the drilled database as a standby, for the next rollback to swap in.")
]


def verify(
    run: Run,
    deploy_id: Id = None,
    level: LevelOption = None,
    all_: All = False,
    newest: Newest = None,
    sample: Sample = None,
    budget: BudgetOption = None,
    max_age: MaxAge = None,
    expect: Expect = None,
    live: Live = None,
    drill_url: DrillUrl = None,
    drill_embedded: DrillEmbedded = False,
    keep: Keep = False,
    ping: Ping = None,
    metrics: Metrics = None,
) -> None:
    """Check that snapshots are whole and can be restored, and that the live database is what the record says.

    Exit 0: verified; 3: a check failed; 1: something could not be checked.
    """
    from flagsnap.verifying.verify import verify as verify_all

    with monitored(run, ping, metrics):
        chosen = _chosen(deploy_id, newest, everything=all_)
        ladder = _ladder(run, level or Level.FILES, sample, budget, drill_url, embedded=drill_embedded, keep=keep)
        if keep and chosen is not None:
            raise UsageError("--keep keeps one database", "name one snapshot, or none for the newest capture")
        look = live if live is not None else not (deploy_id or expect) and bool(run.settings.database_url)
        request = _request(run, ladder, deploy_id, chosen, max_age, expect, look=look, climbs=level is not None)
        result = verify_all(request, run.progress)
        run.show(result, ok=not result.exit_code)
        if result.exit_code:
            raise typer.Exit(result.exit_code)


def _chosen(deploy_id: str | None, newest: int | None, *, everything: bool) -> int | None:
    """How many of the newest captures, 0 for all snapshots, None for a single one."""
    if sum((deploy_id is not None, newest is not None, everything)) > 1:
        raise UsageError("name one snapshot, or --newest N, or --all", "flagsnap verify --help")
    return 0 if everything else newest


def _ladder(
    run: Run,
    level: Level,
    sample: str | None,
    budget: str | None,
    drill_url: str | None,
    *,
    embedded: bool,
    keep: bool,
) -> "Ladder":
    from flagsnap.durations import duration
    from flagsnap.verification import WHOLE
    from flagsnap.verifying.request import Budget, Ladder
    from flagsnap.verifying.sampling import share_of

    if level is not Level.DRILL and (embedded or keep):
        raise UsageError(f"--{'keep' if keep else 'drill-embedded'} is for drills", "add --level drill")
    if level in {Level.MANIFEST, Level.DRILL} and sample:
        reads = "reads no file of the dump" if level is Level.MANIFEST else "reads every byte"
        raise UsageError(f"--level {level} {reads}, so there is nothing to sample", "leave out --sample")
    return Ladder(
        level.value,
        run.settings.workers,
        run.settings.pg_bin,
        _ground(run, level, drill_url, embedded=embedded, keep=keep),
        share_of(sample) if sample else WHOLE,
        Budget(duration(budget) if budget else None),
        keep,
    )


def _ground(run: Run, level: Level, drill_url: str | None, *, embedded: bool, keep: bool) -> "GroundFor":
    from flagsnap.postgres.connection import Address
    from flagsnap.restoring.drill import embedded_ground, live_ground, other_ground

    if embedded:
        if keep:
            raise UsageError("only a drill on the live server can be kept", "leave out --drill-embedded, or --keep")
        return lambda source: embedded_ground(source, run.progress)
    if drill_url and level is Level.DRILL:
        if keep:
            raise UsageError("only a drill on the live server can be kept", "leave out --drill-url, or --keep")
        server: Address = Address.parse(drill_url)
        return lambda source: other_ground(server, source)
    if level is Level.DRILL:
        run.settings.need_database()
    return lambda _: live_ground(run.address)


def _request(
    run: Run,
    ladder: "Ladder",
    deploy_id: str | None,
    chosen: int | None,
    max_age: str | None,
    expect: str | None,
    *,
    look: bool,
    climbs: bool,
) -> "VerifyRequest":
    from flagsnap.durations import duration
    from flagsnap.snapshot import LATEST
    from flagsnap.verifying.request import VerifyRequest

    only_expects = expect is not None and not (deploy_id or climbs or max_age or look)
    return VerifyRequest(
        snapshots=run.snapshots,
        ladder=ladder,
        deploy_id=None if only_expects else deploy_id or LATEST,
        newest=chosen,
        max_age=duration(max_age) if max_age else None,
        live=run.address if look else None,
        expect=expect,
        address=run.address if expect else None,
    )
