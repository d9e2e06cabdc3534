"""The dataset's four Delta tables: made, opened, and appended to exactly once."""

import json
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction
from pydantic import ValidationError

from pipeline.final_files import FinalFile
from pipeline.store import Store
from schemas.config import Config, differences
from schemas.errors import WrongUse
from schemas.job import Job
from schemas.tables import PARTITION_BY, SCHEMAS, TABLES, TableName

SAMPLE, CONTACT_SHEET = "sample.mp4", "contact_sheet.png"  # what `latentreel demo` lays beside the tables
_OURS = {*TABLES, "_staging", "_attempts", "crops", SAMPLE, CONTACT_SHEET}


@dataclass(frozen=True)
class Tables:
    """Opens tables by name, always at their newest version."""

    root: str
    storage_options: dict[str, str]

    def open(self, name: TableName) -> DeltaTable:
        return DeltaTable(self._uri(name), storage_options=self.storage_options or None)

    def exist(self) -> bool:
        return all(
            DeltaTable.is_deltatable(self._uri(name), storage_options=self.storage_options or None) for name in TABLES
        )

    def properties(self) -> dict[str, str]:
        """What the dataset was made with; `videos` speaks for all four."""
        found: dict[str, str] = self.open("videos").metadata().configuration
        return found

    def create(self, job: Job, canonical: dict[str, Any], *, overwrite: bool) -> None:
        """Makes the tables that are missing; with `overwrite` starts the dataset anew (old versions stay readable)."""
        for name in reversed(TABLES) if overwrite else TABLES:  # videos first: nothing half-replaced is ever visible
            self._create(name, job, canonical, mode="overwrite" if overwrite else "ignore")
            if self.open(name).metadata().configuration["latentreel.config_id"] != job.config_id:
                # A run with other settings was killed while it made the dataset: nothing has been committed to it.
                self._create(name, job, canonical, mode="overwrite")

    def _create(
        self, name: TableName, job: Job, canonical: dict[str, Any], *, mode: Literal["overwrite", "ignore"]
    ) -> None:
        DeltaTable.create(
            self._uri(name),
            SCHEMAS[name],
            mode=mode,
            partition_by=PARTITION_BY[name],
            name=f"latentreel.{name}",
            configuration=_properties(job, canonical),
            storage_options=self.storage_options or None,
            raise_if_key_not_exists=False,  # the properties are ours, not Delta's
        )

    def append_once(self, name: TableName, files: list[FinalFile], app: str, generation: int) -> bool:
        """Adds files in one commit, unless `app` has been committed in this generation. Gives whether it added.

        Safe to call again after a crash, and from two processes at once: Delta refuses the second of two concurrent
        commits of one application, and the table then says that it is done.
        """
        adds = [
            AddAction(file.path, file.size, file.partition, int(time.time() * 1000), True, file.stats) for file in files
        ]
        while True:
            table = self.open(name)
            done = table.transaction_version(app)
            if done is not None and done >= generation:
                return False
            try:
                table.create_write_transaction(
                    adds,
                    "append",
                    table.schema(),
                    PARTITION_BY[name],
                    commit_properties=CommitProperties(app_transactions=[Transaction(app, generation)]),
                )
            except CommitFailedError:
                if self.open(name).version() == table.version():
                    raise  # nobody was faster, so trying again would fail the same way
            else:
                return True

    def forget_video(self, video_id: str, config_id: str) -> None:
        """For a quarantined film: drops its row in `videos` and the mark that it was committed, in one commit."""
        table = self.open("videos")
        undone = Transaction(app_id("videos", video_id, config_id), 0)  # below any generation
        table.delete(f"video_id = '{video_id}'", commit_properties=CommitProperties(app_transactions=[undone]))

    def size(self, name: TableName) -> tuple[int, int, int]:
        """Version, number of files and their bytes, of the newest version."""
        table = self.open(name)
        files = pa.table(table.get_add_actions(flatten=True))
        return table.version(), files.num_rows, sum(files["size_bytes"].to_pylist())

    def _uri(self, name: TableName) -> str:
        return f"{self.root.rstrip('/')}/{name}"


def app_id(name: TableName, video_id: str, config_id: str) -> str:
    """Names a film's commit to one table: what may happen once."""
    return f"{name}:{video_id}:{config_id}"


def _properties(job: Job, canonical: dict[str, Any]) -> dict[str, str | None]:
    return {
        "latentreel.config_id": job.config_id,
        "latentreel.config": json.dumps(canonical, sort_keys=True),
        "latentreel.settings": job.config.model_dump_json(),
        "latentreel.generation": str(job.generation),
        "latentreel.generator_id": job.generator.generator_id,
        "latentreel.num_ws": str(job.generator.num_ws),
        "latentreel.w_dim": str(job.generator.w_dim),
        "latentreel.space": "w+",
    }


def open_tables(root: str, storage_options: dict[str, str] | None = None) -> Tables:
    """The tables of a dataset that exists.

    Raises: WrongUse when there is none at this path.
    """
    tables = Tables(root, storage_options or {})
    try:
        missing = not tables.exist()
    except (OSError, TableNotFoundError) as err:
        raise WrongUse(f"{root}: {' '.join(str(err).split())}; name the folder of a dataset") from err
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


def open_or_create(job: Job, canonical: dict[str, Any], *, anew: bool) -> tuple[Tables, int]:
    """The tables of the job's dataset, made if need be, and the dataset's generation.

    Raises: WrongUse when the path holds something else, or a dataset of another configuration (unless `anew`).
    """
    store = Store(job.dataset, job.storage_options)
    tables = Tables(job.dataset, job.storage_options)
    _refuse_foreign(store, job.dataset)
    if not tables.exist():
        tables.create(job, canonical, overwrite=False)
        return tables, job.generation
    properties = tables.properties()
    generation = int(properties["latentreel.generation"])
    if properties["latentreel.config_id"] == job.config_id:
        tables.create(job, canonical, overwrite=False)  # a crash may have left fewer than four
        return tables, generation
    changes = "; ".join(differences(canonical, json.loads(properties["latentreel.config"])))
    if not anew:
        raise WrongUse(
            f"{job.dataset} was made with another configuration ({changes}); choose another folder with -o, "
            "the same settings, or --replace to drop its rows"
        )
    tables.create(replace(job, generation=generation + 1), canonical, overwrite=True)
    return tables, generation + 1


def _refuse_foreign(store: Store, root: str) -> None:
    """Nothing is written into a folder that somebody uses for something else."""
    if store.exists("") and not store.is_folder(""):
        raise WrongUse(f"{root} is a file; a dataset is a folder: choose another path with -o")
    foreign = [name for name in (*store.names(""), *store.folders("")) if name not in _OURS]
    if foreign:
        raise WrongUse(f"{root} holds other files ({foreign[0]}); choose an empty or new folder with -o")
