"""SQL over a dataset: the four tables as DuckDB views, with the functions of pipeline/sql_functions.py.

A view is made when a question first names it: the list of files of `frames` is as long as the dataset has films.
"""

import gc
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb

from pipeline.committed_files import CommittedFiles
from pipeline.sql_functions import FUNCTIONS, add_functions
from pipeline.store import Store
from schemas.errors import WrongUse
from schemas.tables import PARTITION_BY, SCHEMAS, TABLES, TableName

# What a SELECT is made of. There are also COPY_QUERY_NODE and such: `with x as (copy …) select 1` writes a file.
_READS = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_RUNS_TEXT = "json_execute_serialized_sql"  # a table function; what it is given is not seen here

# DuckDB's threads do not live on in a forked process, so ending an inherited connection there crashes it. A worker of a
# torch loader would do that as soon as it collects garbage: what it inherits is kept from that.
os.register_at_fork(after_in_child=gc.freeze)


@dataclass(frozen=True)
class Views:
    """Views over the files that `files_of` names, by path below the store's root and with their sizes.

    Only committed films show.
    """

    store: Store
    files_of: Callable[[TableName], dict[str, int]]
    num_ws: int
    w_dim: int

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """The rows of one SELECT. They are made when they are fetched: do that inside `explained`.

        Raises: WrongUse as `explained`, and for what is not one SELECT or could write.
        """
        with explained():
            self._refuse_all_but_select(query)
            named = [name for name in TABLES if re.search(rf"\b{name}\b", query, re.IGNORECASE)]
            for name in named or TABLES:  # a question that names none may be `show tables`
                self._make(name)
            return self.connection.sql(query)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """With the functions, and the views that were asked for."""
        # Otherwise a misspelt table would be looked for among the variables of this module.
        connection = duckdb.connect(config={"python_enable_replacements": False})
        if not self.store.is_local:
            connection.register_filesystem(self._remote)
            connection.register_filesystem(self.store.filesystem)  # for what a question reads or writes beside them
        add_functions(connection, num_ws=self.num_ws, w_dim=self.w_dim)
        return connection

    @cached_property
    def _remote(self) -> CommittedFiles:
        return CommittedFiles(self.store)

    def _refuse_all_but_select(self, query: str) -> None:
        found = self.connection.execute("select json_serialize_sql(?)", [query]).fetchall()
        tree = json.loads(found[0][0])
        if tree.get("error_type") == "parser":
            return  # DuckDB says it better when it is asked
        if tree["error"] or len(tree["statements"]) != 1 or not _only_reads(tree):
            raise WrongUse(
                "a query is one SELECT that writes nothing; write files with --format and -o (PIVOT: with ON … IN (…))"
            )

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
        files = self.files_of(name)
        uris = map(self.store.uri, files) if self.store.is_local else self._remote.add(files)
        paths = [f"'{_literal(uri)}'" for uri in uris]
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


@contextmanager
def explained() -> Iterator[None]:
    """Raises: WrongUse where DuckDB refuses: its message and what there is to ask, in one line."""
    try:
        yield
    except duckdb.Error as err:
        message = " ".join(str(err).split())
        # Files and memory are not mended by another column.
        about_sql = not isinstance(err, duckdb.IOException | duckdb.OutOfMemoryException)
        raise WrongUse(f"{message} ({_what_there_is()})" if about_sql else message) from err


def _only_reads(tree: Any) -> bool:
    if isinstance(tree, list):
        return all(map(_only_reads, tree))
    if not isinstance(tree, dict):
        return True
    kind = str(tree.get("type", ""))
    if kind.endswith("_NODE") and kind not in _READS:
        return False
    if kind == "FUNCTION" and str(tree.get("function_name", "")).lower() == _RUNS_TEXT:
        return False
    return all(map(_only_reads, tree.values()))


def _literal(path: str) -> str:
    """DuckDB reads every path as a pattern."""
    for mark in "[*?":
        path = path.replace(mark, f"[{mark}]" if mark != "[" else "\0")
    return path.replace("\0", "[[]").replace("'", "''")


def _what_there_is() -> str:
    tables = [f"{name}: {', '.join(SCHEMAS[name].names)}" for name in reversed(TABLES)]
    return "; ".join([*tables, f"functions: {', '.join(function.signature for function in FUNCTIONS)}"])
