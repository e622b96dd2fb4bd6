"""`flagsnap demo`."""

import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flagsnap.cli.run import Run
from flagsnap.errors import FlagsnapError
from flagsnap.progress import Progress

if TYPE_CHECKING:
    from flagsnap.stores.base import Store


def demo(run: Run) -> None:
    """Tell the whole story on an embedded PostgreSQL: deploys, rollbacks, proofs. Nothing stays behind.

    With --store on the command line, its snapshots are kept there meanwhile, in a place of their own.
    """
    from flagsnap.demo.story import tell
    from flagsnap.report.console import errors, output
    from flagsnap.report.story import StoryTeller

    say = StoryTeller(errors() if run.json else output()).say
    # Only from the command line: a real store in the environment is none to play with.
    if run.options.get("store"):
        place = _place(run)
        place.store.list()  # what cannot be used is better said before the story begins
        tell(say, place.environment, place.clear)
    else:
        tell(say)
    if run.json:
        from flagsnap.report.json import document

        print(document(run.command, {}))  # noqa: T201


@dataclass(frozen=True)
class _Place:
    """Where the demo keeps its snapshots in a store that was given: in a store of their own below it."""

    store: "Store"
    environment: dict[str, str]
    progress: Progress

    def clear(self, database_url: str) -> None:
        """Remove all that the demo's captures have left, also half-way, while their database is still there."""
        from flagsnap.postgres.connection import Address, connect
        from flagsnap.postgres.facts import owner_of, read_server
        from flagsnap.postgres.locks import holding

        address = Address.parse(database_url)
        try:
            for deploy_id in self.store.list():
                self.store.remove(deploy_id)
            with connect(address, "demo") as connection, holding(connection, address.database):
                self.store.sweep(owner_of(read_server(connection), address), self.progress)
        except FlagsnapError as error:
            raise FlagsnapError(f"the demo has left something in {self.store.url}: {error}", error.hint) from error
        self._remove_folder()

    def _remove_folder(self) -> None:
        """What a bucket does not have: the folder itself, once it is empty but for other folders."""
        from flagsnap.stores.local import LocalStore

        if isinstance(self.store, LocalStore):
            shutil.rmtree(self.store.root, ignore_errors=True)
            if self.store.root.exists():
                raise FlagsnapError(f"the demo has left {self.store.url}", "remove it")


def _place(run: Run) -> _Place:
    from flagsnap.stores import open_store

    settings = run.settings
    given = open_store(settings.need_store(), settings.store_options)
    url = f"{given.url}/demo-{secrets.token_hex(4)}"
    options = {f"FLAGSNAP_S3_{name.upper()}": value for name, value in settings.store_options.items()}
    return _Place(open_store(url, settings.store_options), {"FLAGSNAP_STORE": url, **options}, run.progress)
