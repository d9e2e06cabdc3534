"""The dataset's four Delta tables, opened: at which version, with which files, made with what."""

import json
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pydantic import ValidationError

from pipeline.data_files import DataFile, data_files
from pipeline.storage_errors import as_wrong_use
from pipeline.storage_options import Options, checked_options, delta_options
from pipeline.store import Store
from schemas.config import Config
from schemas.errors import WrongUse
from schemas.tables import SCHEMAS, TABLES, StoredName, TableName

WHAT, PINS = "latentreel.what", "latentreel.pins"  # in the log's entry of a commit: see pipeline/commit.py


@dataclass(frozen=True)
class Tables:
    """Opens tables by name, at their newest version or at a given one."""

    root: str
    storage_options: dict[str, str] = field(repr=False)  # may hold secrets

    @cached_property
    def store(self) -> Store:
        """The files of the same dataset."""
        return Store(self.root, self.storage_options)

    @cached_property
    def delta_options(self) -> dict[str, str] | None:
        """What delta-rs needs to open them."""
        return delta_options(self.root, self.storage_options)

    def open(self, name: StoredName, version: int | None = None) -> DeltaTable:
        """Raises: WrongUse for a version that is not there (any more)."""
        try:
            return DeltaTable(self.uri(name), version=version, storage_options=self.delta_options)
        except (DeltaError, TableNotFoundError, OSError) as err:
            if version is None:
                raise
            raise WrongUse(
                f"{self.root}: version {version} of {name} cannot be read; `latentreel history {self.root}` "
                "lists those that can"
            ) from err

    def exist(self) -> bool:
        return all(self.has(name) for name in TABLES)

    def has(self, name: StoredName) -> bool:
        return bool(DeltaTable.is_deltatable(self.uri(name), storage_options=self.delta_options))

    def properties(self, version: int | None = None) -> dict[str, str]:
        """What the dataset was made with; `videos` speaks for all four."""
        found: dict[str, str] = self.open("videos", version).metadata().configuration
        return found

    def pins(self, version: int) -> dict[TableName, int]:
        """The versions of the other tables that this version of `videos` relies on.

        Not promised: all of them, or any. A dataset without films has none; another program's commit names none.
        """
        name = f"videos/_delta_log/{version:020d}.json"
        if not self.store.exists(name):
            return {}
        for line in self.store.read(name).splitlines():
            entry = json.loads(line)
            if "commitInfo" in entry:
                found: dict[TableName, int] = entry["commitInfo"].get(PINS, {})
                return found
        return {}

    def size(self, name: TableName) -> tuple[int, int, int]:
        """Version, number of files and their bytes, of the newest version."""
        table = self.open(name)
        files = pa.table(table.get_add_actions(flatten=True))
        return table.version(), files.num_rows, sum(files["size_bytes"].to_pylist())

    def files(self, name: TableName, version: int | None = None) -> list[DataFile]:
        """The files of a version.

        Raises: WrongUse when the table's columns are another version's of latentreel, or it is another dataset's.
        """
        table = self.open(name, version)
        self._refuse_other_columns(name, table)
        return data_files(table)

    def read(self, name: StoredName, columns: list[str] | None = None, *, only: ds.Expression = None) -> pa.Table:
        """Rows of the newest version, all of them in memory."""
        return self.open(name).to_pyarrow_dataset().to_table(columns=columns, filter=only)

    def uri(self, name: StoredName) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _refuse_other_columns(self, name: TableName, table: DeltaTable) -> None:
        found, ours = {field.name for field in table.schema().fields}, set(SCHEMAS[name].names)
        if found != ours:
            lacks, has = sorted(ours - found), sorted(found - ours)
            what = f"has no column {lacks[0]}" if lacks else f"has a column {has[0]} that is unknown here"
            raise WrongUse(
                f"{self.root}: made by another version of latentreel (its table {name} {what}); read it with that "
                "version, or invert its films again with --replace"
            )


def open_tables(root: str, storage_options: Options | None = None) -> Tables:
    """The tables of a dataset that exists.

    Takes: `storage_options` under delta-rs' names, as AWS_ACCESS_KEY_ID; the environment where they say nothing.
    Raises: WrongUse when there is none at this path, or the storage cannot be reached.
    """
    tables = Tables(root, checked_options(storage_options))
    with as_wrong_use(root):
        # Asked first: fsspec says what it lacks by kinds of errors, and delta-rs in words.
        missing = "videos" not in tables.store.folders("") or not tables.exist()
    if missing:
        raise WrongUse(
            f"{root}: not a latentreel dataset (it has no table `videos`); make one with `latentreel invert`"
        )
    return tables


def saved_config(tables: Tables) -> Config:
    """The settings that a dataset was made with.

    Raises: WrongUse when they were written by a version whose settings had other names.
    """
    try:
        return Config.model_validate_json(tables.properties()["latentreel.settings"])
    except ValidationError as err:
        what = ".".join(map(str, err.errors()[0]["loc"]))
        raise WrongUse(
            f"{tables.root}: made by another version ({what}); invert its films again with --replace"
        ) from err
