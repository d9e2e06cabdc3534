"""SQL over a dataset: the four tables as DuckDB views, and the functions that make latents and feelings readable.

A view is made when a question first names it: binding `frames` opens a file of each film.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import duckdb

from pipeline.store import Store
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from schemas.tables import PARTITION_BY, SCHEMAS, TABLES, TableName


@dataclass(frozen=True)
class Views:
    """Views over the files that `files_of` names, as paths below the store's root. Only committed films show."""

    store: Store
    files_of: Callable[[TableName], list[str]]
    num_ws: int
    w_dim: int

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """The rows of one SELECT.

        Raises: WrongUse with DuckDB's message and the columns there are.
        """
        try:
            for name in TABLES:
                if re.search(rf"\b{name}\b", query, re.IGNORECASE):  # DuckDB's own get_table_names stumbles over joins
                    self._make(name)
            relation = self.connection.sql(query)
        except duckdb.Error as err:
            raise WrongUse(f"{' '.join(str(err).split())} ({_columns()})") from err
        if relation is None:
            raise WrongUse("that statement gives no rows; the views are read-only: write a SELECT")
        return relation

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """With the functions, and the views that were asked for."""
        connection = duckdb.connect()
        if not self.store.is_local:
            connection.register_filesystem(self.store.filesystem)
        names = ", ".join(f"'{name}'" for name in EMOTIONS)
        connection.execute(f"create macro emotion_name(id) as ([{names}])[id + 1]")
        return connection

    @cached_property
    def _made(self) -> set[TableName]:
        return set()

    def _make(self, name: TableName) -> None:
        if name in self._made:
            return
        committed = ""
        if name != "videos":
            self._make("videos")
            committed = "where video_id in (select video_id from videos where status <> 'quarantined')"
        paths = [f"'{_literal(self.store.uri(path))}'" for path in self.files_of(name)]
        if paths:
            hive = ", hive_partitioning = true, hive_types = {'video_id': varchar}" if PARTITION_BY[name] else ""
            source = f"read_parquet([{', '.join(paths)}]{hive})"
        else:
            source = f"_no_{name}"
            self.connection.register(source, SCHEMAS[name].empty_table())
        self.connection.execute(
            f"create view {name} as select {', '.join(SCHEMAS[name].names)} from {source} {committed}"
        )
        self._made.add(name)


def _literal(path: str) -> str:
    """DuckDB reads every path as a pattern."""
    for mark in "[*?":
        path = path.replace(mark, f"[{mark}]" if mark != "[" else "\0")
    return path.replace("\0", "[[]").replace("'", "''")


def _columns() -> str:
    return "; ".join(f"{name}: {', '.join(SCHEMAS[name].names)}" for name in reversed(TABLES))
