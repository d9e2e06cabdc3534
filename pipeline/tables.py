"""The dataset's four Delta tables, opened: at which version, with which files, made with what."""

from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pydantic import ValidationError

from pipeline.data_files import DataFile, data_files
from pipeline.log import read_entry
from pipeline.storage_errors import as_wrong_use
from pipeline.storage_options import Options, checked_options, delta_options
from pipeline.store import Store
from schemas.config import Config
from schemas.errors import WrongUse
from schemas.tables import SCHEMAS, TABLES, StoredName, TableName

# In the log's entry of a commit: see pipeline/commit.py.
WHAT, PINS, KEPT_FROM = "latentreel.what", "latentreel.pins", "latentreel.kept_from"


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
        """Raises: WrongUse for a version that is not there (any more), and for a log that is torn."""
        try:
            return DeltaTable(self.uri(name), version=version, storage_options=self.delta_options)
        except (DeltaError, TableNotFoundError, OSError) as err:
            if version is None and isinstance(err, DeltaError) and not isinstance(err, TableNotFoundError):
                raise WrongUse(
                    f"{self.root}: the log of its table {name} is torn ({str(err).splitlines()[0]}); put the newest "
                    f"files of {self.uri(name)}/_delta_log back from a copy"
                ) from err
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
        entry = read_entry(self.store, "videos", version)
        found: dict[TableName, int] = entry.info.get(PINS, {}) if entry else {}
        return found

    def kept_from(self, version: int) -> dict[TableName, int]:
        """The oldest version of each table whose files `latentreel vacuum` had left when `videos` came to this version.

        Each of our commits hands it on; those of other programs are passed over.
        """
        while entry := read_entry(self.store, "videos", version):
            if KEPT_FROM in entry.info:
                found: dict[TableName, int] = entry.info[KEPT_FROM]
                return found
            version -= 1
        return {}

    def refuse_vacuumed(self, version: int) -> None:
        """Raises: WrongUse for a version of the dataset that has lost files."""
        versions: dict[TableName, int] = {**self.pins(version), "videos": version}
        kept_from = self.kept_from(self.open("videos").version())
        if any(name in kept_from and versions[name] < kept_from[name] for name in versions):
            raise WrongUse(
                f"{self.root}: version {version} was vacuumed, its files are gone; `latentreel history {self.root}` "
                "lists the versions that can be read"
            )

    def files(
        self, name: TableName, version: int | None = None, *, made_with: dict[str, str] | None = None
    ) -> list[DataFile]:
        """The files of a version. Takes: the properties of the dataset that the table has to belong to.

        Raises: WrongUse when the table's columns are another version's of latentreel, or it is another dataset's.
        """
        table = self.open(name, version)
        self._refuse_other_columns(name, table)
        if made_with is not None:
            self._refuse_other_dataset(name, table, made_with)
        return data_files(table)

    def read(self, name: StoredName, columns: list[str] | None = None, *, only: ds.Expression = None) -> pa.Table:
        """Rows of the newest version, all of them in memory."""
        table = self.open(name)
        try:
            return table.to_pyarrow_dataset().to_table(columns=columns, filter=only)
        except FileNotFoundError:  # compacted away and vacuumed while it was read
            if self.open(name).version() == table.version():
                raise
            return self.read(name, columns, only=only)

    def uri(self, name: StoredName) -> str:
        return f"{self.root.rstrip('/')}/{name}"

    def _refuse_other_dataset(self, name: TableName, table: DeltaTable, made_with: dict[str, str]) -> None:
        found = table.metadata().configuration
        for key in ("generator_id", "config_id"):
            theirs, ours = found.get(f"latentreel.{key}"), made_with[f"latentreel.{key}"]
            if theirs != ours:
                raise WrongUse(
                    f"{self.root}: its table {name} belongs to another dataset ({key} {theirs}, not {ours}); put "
                    f"its own folder {name} back, or invert the films again with --replace"
                )

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
