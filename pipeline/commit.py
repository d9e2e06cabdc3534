"""The only writer of the tables: a change, made of the newest version and committed only if it still is the newest.

Every commit is conditional. Whoever is too late looks at the new newest version and decides again, so two processes can
never both act on what only one of them may do; and one of those that try at once always gets through.

A commit to `videos` is a version of the dataset. It names the versions of the other tables that hold the rows of its
films (its pins), so that readers of any version see all four tables as they were together.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from pipeline.data_files import DataFile
from pipeline.final_files import FinalFile
from pipeline.tables import KEPT_FROM, PINS, WHAT, Tables
from schemas.errors import Interrupted
from schemas.tables import PARTITION_BY, StoredName, TableName

Pins = dict[TableName, int]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one commit does to one table. Making one writes nothing into the log."""

    what: str  # for `latentreel history`
    adds: list[FinalFile] = field(default_factory=list)  # written already
    removes: list[DataFile] = field(default_factory=list)  # files of the version that the change was made of
    transactions: dict[str, int] = field(default_factory=dict)  # app_id -> generation in which it is done; 0: undone
    same_rows: bool = False  # files move, rows do not: streaming readers see no change


def commit(
    tables: Tables,
    name: StoredName,
    change_of: Callable[[DeltaTable], Change | None],
    *,
    pins: Pins | None = None,
    kept_from: Pins | None = None,
) -> int:
    """Commits what `change_of` makes of the newest version. Gives the version that holds it.

    Takes: `change_of` gives None where nothing is to be done; it is asked again whenever somebody else was faster.
        `pins`, for `videos`: the versions of other tables that the change relies on; `kept_from`: the oldest versions
        of the tables that keep their files.
    Raises: CommitFailedError, OSError and deltalake's errors where the storage refuses.
    """
    while True:
        table = tables.open(name)
        try:
            change = change_of(table)
        except FileNotFoundError:  # compacted away and vacuumed while it was read
            if tables.open(name).version() == table.version():
                raise
            continue
        if change is None:
            return int(table.version())
        metadata: dict[str, Any] = {WHAT: change.what}
        if name == "videos":
            metadata[PINS] = _later(tables.pins(table.version()), pins or {})
            metadata[KEPT_FROM] = _later(tables.kept_from(table.version()), kept_from or {})
        try:
            table.create_write_transaction(
                _actions(change),
                "append",
                table.schema(),
                PARTITION_BY[name],
                commit_properties=CommitProperties(
                    custom_metadata=metadata,
                    max_commit_retries=0,  # a retry would commit what was decided on an older version
                    app_transactions=[Transaction(app, done) for app, done in change.transactions.items()],
                ),
                # Delta would drop log entries of a month ago, which may be what a version of a minute ago relies on.
                post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
            )
        except CommitFailedError:
            if tables.open(name).version() == table.version():
                raise  # nobody was faster, so trying again would fail the same way
        else:
            return int(table.version()) + 1


def append_once(
    tables: Tables, name: TableName, files: list[FinalFile], *, app: str, generation: int, what: str
) -> int:
    """Adds files in one commit, unless `app` has been committed in this generation. Gives a version that holds them.

    Safe to call again after a crash, and from two processes at once.
    """

    def change_of(table: DeltaTable) -> Change | None:
        if is_done(table, app, generation):
            return None
        return Change(what=what, adds=files, transactions={app: generation})

    return commit(tables, name, change_of)


def app_id(name: TableName, video_id: str, config_id: str) -> str:
    """Names a film's commit to one table: what may happen once."""
    return f"{name}:{video_id}:{config_id}"


def is_done(table: DeltaTable, app: str, generation: int) -> bool:
    """Whether the application's commit is in this version of the table.

    Raises: Interrupted when the table belongs to a later generation by now: it was made anew for other settings.
    """
    made_in = int(table.metadata().configuration.get("latentreel.generation", generation))
    if made_in != generation:
        raise Interrupted("another run has made the dataset anew with --replace; nothing of this run belongs there")
    done = table.transaction_version(app)
    return done is not None and done >= generation


def _later(a: Pins, b: Pins) -> Pins:
    return {name: max(a.get(name, 0), b.get(name, 0)) for name in sorted(a.keys() | b.keys())}


def _actions(change: Change) -> list[AddAction | RemoveAction]:
    now_ms = int(time.time() * 1000)
    adds = [
        AddAction(file.path, file.size, file.partition, now_ms, not change.same_rows, file.stats)
        for file in change.adds
    ]
    removes = [
        RemoveAction(file.path, not change.same_rows, now_ms, file.size, file.partition) for file in change.removes
    ]
    return [*adds, *removes]
