"""The way back by hand: lines of `manage.py migrate <app> <name>` that unapply exactly the extra migrations.

How `migrate` plans has been the same for long (django/db/migrations/executor.py, `migration_plan`): given an applied
migration, it unapplies the children of that one in the same app, and all applied ones that depend on these, whatever
their app; given `zero`, the first ones of the app and all that depend on them; given one that is not applied, it
applies that with all that it depends on. So whether a line does too much never depends on the lines before it, and
where the safe lines together do not do all, no lines do.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from flagsnap.errors import RouteClosed
from flagsnap.migrations import Graph, Migration, Node, Resolution, difference, resolve, squashed_by_name
from flagsnap.plan import against_resolution

ZERO = "zero"
_NAMED = 5


@dataclass(frozen=True)
class Line:
    """One `migrate`, and what it does; `target` is a migration's full name, or `zero`."""

    app: str
    target: str
    unapplies: tuple[Migration, ...] = ()
    applies: tuple[Migration, ...] = ()

    def __str__(self) -> str:
        return f"python manage.py migrate {shlex.quote(self.app)} {shlex.quote(self.target)}"


@dataclass(frozen=True)
class Way:
    """Which state the lines lead to.

    Attributes:
        deploy_id: the snapshot that recorded it, None if none did.
        option: how `plan` and `rollback` are told of it: `--to ID`.
        state: the same in words: "the state before deploy ID".
    """

    deploy_id: str | None
    option: str
    state: str

    @property
    def restoring(self) -> str:
        """The way out where the extra migrations cannot be unapplied."""
        if self.deploy_id is None:
            return "restore a backup of your own: no snapshot recorded that state"
        return f"`flagsnap rollback {self.option} --strategy restore` takes the snapshot instead"

    @property
    def otherwise(self) -> str:
        """The way out where only the lines do not get there."""
        return f"`flagsnap rollback {self.option}` needs no lines; `flagsnap plan {self.option}` shows what it would do"

    @property
    def unrehearsed(self) -> str:
        """Why there is no rehearsal that could know better."""
        return f"deploy {self.deploy_id} was not rehearsed" if self.deploy_id else "no snapshot recorded that state"


@dataclass(frozen=True)
class ByHand:
    """The lines in an order that works.

    Attributes:
        staying: bookkeeping rows that were not recorded.
        not_back: bookkeeping rows that were recorded and removed since.
    """

    way: Way
    lines: tuple[Line, ...]
    staying: tuple[Migration, ...] = ()
    not_back: tuple[Migration, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """The lines as a shell takes them."""
        return tuple(map(str, self.lines))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of them, each on one line whatever the names in it are."""
        return tuple("".join(each if each.isprintable() else "?" for each in note) for note in self._notes())

    def _notes(self) -> Iterator[str]:
        if self.lines:
            unapplied = sum(len(line.unapplies) for line in self.lines)
            applied = sum(len(line.applies) for line in self.lines)
            unapply = f"unapply {_counted(unapplied)}" if unapplied else ""
            apply = f"apply {_counted(applied)} again" if applied else ""
            yield f"back to {self.way.state}: these lines {' and '.join(filter(None, (unapply, apply)))}"
            yield "run them with the code of the newer version, in this order, and stop where one fails"
            yield f"they may lose data, and nothing proves the result; `flagsnap plan {self.way.option}` has the price"
            for line in self.lines if self.way.deploy_id is None else ():
                if line.target == ZERO:
                    late = "if its rows were recorded late, its tables are older than the deploy"
                    yield f"{line.app} goes as a whole; {late}"
        else:
            yield f"back to {self.way.state}: no line is needed, the same migrations are applied"
        if self.staying:
            yield f"bookkeeping rows that stay and stand for no schema change: {_some(self.staying)}"
        if self.not_back:
            yield f"bookkeeping rows that do not come back and stand for no schema change: {_some(self.not_back)}"


def lines_back(way: Way, recorded: Sequence[Migration], applied: Sequence[Migration], graph: Graph) -> ByHand:
    """The lines from the applied migrations to the recorded ones; the graph is resolved for these.

    RouteClosed, with the reason, if there are none.
    """
    differences = difference(recorded, applied)
    found = resolve(recorded, differences, graph)
    if way.deploy_id is None:
        found = squashed_by_name(found, graph)
    recorded_so = "was recorded" if way.deploy_id else "was applied before that time"
    for reason, hint in against_resolution(replace(found, unapplied=()), way.restoring, recorded_so):
        raise closed(reason, hint)
    migrate = _Migrate(graph, applied)
    lines: list[Line] = []
    if found.to_unapply or found.unapplied:
        for reason in migrate.refusals():
            raise closed(reason, way.otherwise)
        lines = [*_unapplying(migrate, found, way), *_applying(migrate, found, way)]
    staying, not_back = migrate.rows - set(recorded), set(recorded) - migrate.rows
    harmless = {*found.bookkeeping, *migrate.bookkeeping()}
    if other := (staying | not_back) - harmless:
        raise closed(f"they would leave {_some(sorted(other))} otherwise than recorded", way.otherwise)
    return ByHand(way, tuple(lines), tuple(sorted(staying)), tuple(sorted(not_back)))


def closed(reason: str, hint: str) -> RouteClosed:
    """The error that says why there are no lines."""
    return RouteClosed(f"no `migrate` lines lead back: {reason}", hint)


class _Migrate:
    """What `migrate` would do, from the rows of `django_migrations` as the lines before have left them."""

    def __init__(self, graph: Graph, applied: Iterable[Migration]) -> None:
        self.graph = graph
        self.rows = set(applied)
        self._children: dict[Migration, list[Migration]] = defaultdict(list)
        for node in graph.nodes:
            for parent in node.parents:
                self._children[parent].append(node.migration)
        on_disk = {*(node.migration for node in graph.nodes), *graph.replaced, *chain(*graph.replaced.values())}
        self._on_disk = sorted(on_disk)

    def refusals(self) -> Iterator[str]:
        """Why it would not run at all, or not as the graph has it, in words."""
        parts = set(chain(*self.graph.replaced.values()))
        for squashed, replaced in self.graph.replaced.items():
            is_partly_applied = bool(self.rows & set(replaced)) and not self.rows >= set(replaced)
            # MigrationLoader.build_graph: it takes the place of what it replaces if all or nothing of that is applied.
            if squashed not in parts and is_partly_applied == (self.graph.get(squashed) is not None):
                yield f"`migrate` takes {squashed} as one, and the way leads to within what that replaces"
        for node in self.graph.nodes:  # MigrationLoader.check_consistent_history
            for parent in node.parents if node.migration in self.rows else ():
                if parent not in self.rows and not self.is_applied(self.graph.get(parent)):
                    yield f"`migrate` does not run: {node.migration} is applied and depends on {parent}, which is not"
        for app, leaves in self._leaves().items():  # MigrationLoader.detect_conflicts
            if len(leaves) > 1:
                yield f"`migrate` does not run: {app} has several last migrations, {_some(leaves)}"

    def is_applied(self, node: Node | None) -> bool:
        """Whether it counts as applied: of a squashed one, what it replaces decides."""
        return node is not None and self.rows.issuperset(node.replaces or (node.migration,))

    def applied_in(self, app: str) -> list[Migration]:
        """The applied migrations of an app, newest first."""
        found = (node.migration for node in reversed(self.graph.nodes) if self.is_applied(node))
        return [migration for migration in found if migration.app == app]

    def unapplied_by(self, app: str, target: str) -> frozenset[Migration]:
        """What the line unapplies."""
        if target == ZERO:
            starts = [node.migration for node in self.graph.nodes if node.migration.app == app and not _own(node)]
        else:
            starts = [child for child in self._children[Migration(app, target)] if child.app == app]
        below = self._with_all(starts, self._children)
        return frozenset(migration for migration in below if self.is_applied(self.graph.get(migration)))

    def applied_by(self, target: Migration) -> frozenset[Migration]:
        """What the line applies, if its target is not applied."""
        above = self._with_all([target], {node.migration: node.parents for node in self.graph.nodes})
        return frozenset(migration for migration in above if not self.is_applied(self.graph.get(migration)))

    def problem_with(self, target: Migration) -> str:
        """Why `migrate` would not take the name for that migration, empty if it would."""
        if target.name == ZERO or target.name.startswith("-"):
            return f"`migrate` does not take {target.name} for a name"
        # MigrationLoader.get_migration_by_prefix: also a full name may be the beginning of others.
        others = [each for each in self._on_disk if each.app == target.app and each.name.startswith(target.name)]
        if len(others) > 1:
            return f"`migrate` takes {target} for {_some([each for each in others if each != target])} too"
        return ""

    def run(self, line: Line) -> None:
        """Change the rows as the line does."""
        for migration in line.unapplies:
            self.rows -= {migration, *self._replaced(migration)}
        for migration in line.applies:
            self.rows |= set(self._replaced(migration)) or {migration}
        self.rows |= self.bookkeeping()  # MigrationExecutor.check_replacements

    def bookkeeping(self) -> set[Migration]:
        """Squashed migrations that are applied because all that they replace is."""
        return {squashed for squashed, replaced in self.graph.replaced.items() if self.rows.issuperset(replaced)}

    def _replaced(self, migration: Migration) -> tuple[Migration, ...]:
        node = self.graph.get(migration)
        return node.replaces if node else ()

    def _leaves(self) -> dict[str, list[Migration]]:
        found = defaultdict(list)
        for node in self.graph.nodes:
            if not any(child.app == node.migration.app for child in self._children[node.migration]):
                found[node.migration.app].append(node.migration)
        return found

    @staticmethod
    def _with_all(starts: Sequence[Migration], following: Mapping[Migration, Sequence[Migration]]) -> set[Migration]:
        seen: set[Migration] = set()
        waiting = list(starts)
        while waiting:
            if (each := waiting.pop()) not in seen:
                seen.add(each)
                waiting.extend(following.get(each, ()))
        return seen


def _unapplying(migrate: _Migrate, found: Resolution, way: Way) -> Iterator[Line]:
    """As few lines as there are, newest first."""
    wanted = found.to_unapply
    while wanted:
        apps = dict.fromkeys(migration.app for migration in wanted)
        line = next(filter(None, (_largest(migrate, app, wanted) for app in apps)), None)
        if line is None:
            raise closed(_why_not(migrate, wanted), way.otherwise)
        migrate.run(line)
        yield line
        wanted = tuple(migration for migration in wanted if migration not in line.unapplies)


def _largest(migrate: _Migrate, app: str, wanted: Sequence[Migration]) -> Line | None:
    """Of the lines for an app that unapply nothing but what is wanted, the one that unapplies most."""
    names = [ZERO, *(each.name for each in migrate.applied_in(app) if not migrate.problem_with(each))]
    effects = {name: migrate.unapplied_by(app, name) for name in names}
    safe = {name: effect for name, effect in effects.items() if effect and effect <= set(wanted)}
    if not safe:
        return None
    name = max(safe, key=lambda each: len(safe[each]))
    return Line(app, name, unapplies=tuple(each for each in wanted if each in safe[name]))


def _why_not(migrate: _Migrate, wanted: Sequence[Migration]) -> str:
    """Why no line unapplies the oldest of what is left."""
    oldest = wanted[-1]
    node = migrate.graph.get(oldest)
    for parent in _own(node) if node else ():
        if problem := migrate.problem_with(parent):
            return f"only `migrate {parent.app} {parent.name}` unapplies {oldest}, and {problem}"
    targets = [parent.name for parent in _own(node)] if node else []
    for target in targets or [ZERO]:
        if kept := migrate.unapplied_by(oldest.app, target) - set(wanted):
            stays = f"{_some(sorted(kept))}, which {'is' if len(kept) == 1 else 'are'} to stay"
            return f"`migrate {oldest.app} {target}`, which unapplies {oldest}, unapplies {stays}"
    return f"`migrate` does not count {oldest} as applied"


def _applying(migrate: _Migrate, found: Resolution, way: Way) -> Iterator[Line]:
    """Lines for what was recorded and is not applied, oldest first."""
    missing = set(found.unapplied)
    nodes = [node for node in migrate.graph.nodes if missing & {node.migration, *node.replaces}]
    wanted = {node.migration for node in nodes}
    for node in reversed(nodes):
        target = node.migration
        if migrate.is_applied(node):
            continue
        applies = migrate.applied_by(target)
        if problem := migrate.problem_with(target):
            raise closed(f"{target} was recorded and is no longer applied, and {problem}", way.restoring)
        if other := applies - wanted:
            said = f"`migrate {target.app} {target.name}` would apply {_some(sorted(other))} too"
            raise closed(f"{target} was recorded and is no longer applied, and {said}", way.restoring)
        line = Line(
            target.app, target.name, applies=tuple(each.migration for each in nodes if each.migration in applies)
        )
        migrate.run(line)
        yield line


def _own(node: Node) -> list[Migration]:
    """Its parents in its own app."""
    return [parent for parent in node.parents if parent.app == node.migration.app]


def _counted(number: int) -> str:
    return f"{number} migration" + ("" if number == 1 else "s")


def _some(names: Sequence[Migration]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(str, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
