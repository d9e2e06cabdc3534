"""A dataset's four tables, made: once, for one configuration, in a folder that holds nothing else."""

import json
from dataclasses import replace
from typing import Any, Literal

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from pipeline.storage_errors import as_wrong_use
from pipeline.store import Store
from pipeline.tables import PINS, WHAT, Tables
from schemas.config import differences
from schemas.errors import WrongUse
from schemas.job import Job
from schemas.tables import MEMORIES, PARTITION_BY, SCHEMAS, TABLES, TableName

SAMPLE, CONTACT_SHEET = "sample.mp4", "contact_sheet.png"  # what `latentreel demo` lays beside the tables
_OURS = {*TABLES, *MEMORIES, "_staging", "_attempts", "crops", SAMPLE, CONTACT_SHEET}


def open_or_create(job: Job, canonical: dict[str, Any], *, anew: bool) -> tuple[Tables, int]:
    """The tables of the job's dataset, made if need be, and the dataset's generation.

    Raises: WrongUse when the path holds something else, or a dataset of another configuration (unless `anew`).
    """
    tables = Tables(job.dataset, job.storage_options)
    with as_wrong_use(job.dataset):
        _refuse_foreign(tables.store, job.dataset)
        exist = tables.exist()
    if not exist:
        _create_all(tables, job, canonical, overwrite=False)
        return tables, job.generation
    properties = tables.properties()
    generation = int(properties["latentreel.generation"])
    if properties["latentreel.config_id"] == job.config_id:
        _create_all(tables, job, canonical, overwrite=False)  # a crash may have left fewer than four
        return tables, generation
    changes = "; ".join(differences(canonical, json.loads(properties["latentreel.config"])))
    if not anew:
        raise WrongUse(
            f"{job.dataset} was made with another configuration ({changes}); choose another folder with -o, "
            "the same settings, or --replace to drop its rows"
        )
    _create_all(tables, replace(job, generation=generation + 1), canonical, overwrite=True)
    return tables, generation + 1


def _create_all(tables: Tables, job: Job, canonical: dict[str, Any], *, overwrite: bool) -> None:
    """Makes the tables that are missing; with `overwrite` starts the dataset anew (old versions stay readable)."""
    for name in reversed(TABLES) if overwrite else TABLES:  # videos first: nothing half-replaced is ever visible
        _create(tables, name, job, canonical, mode="overwrite" if overwrite else "ignore")
        if tables.open(name).metadata().configuration["latentreel.config_id"] != job.config_id:
            # A run with other settings was killed while it made the dataset: nothing has been committed to it.
            _create(tables, name, job, canonical, mode="overwrite")


def _create(
    tables: Tables, name: TableName, job: Job, canonical: dict[str, Any], *, mode: Literal["overwrite", "ignore"]
) -> None:
    made = CommitProperties(custom_metadata={WHAT: "made the dataset", PINS: {}}, max_commit_retries=0)
    try:
        DeltaTable.create(
            tables.uri(name),
            SCHEMAS[name],
            mode=mode,
            partition_by=PARTITION_BY[name],
            name=f"latentreel.{name}",
            configuration=_properties(job, canonical),
            storage_options=tables.delta_options,
            commit_properties=made,
            raise_if_key_not_exists=False,  # the properties are ours, not Delta's
        )
    except CommitFailedError:
        if mode == "overwrite" or not tables.has(name):
            raise
        # Another driver has made it at the same moment; a retry of delta-rs would write the properties over its own.


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


def _refuse_foreign(store: Store, root: str) -> None:
    """Nothing is written into a folder that somebody uses for something else."""
    if store.exists("") and not store.is_folder(""):
        raise WrongUse(f"{root} is a file; a dataset is a folder: choose another path with -o")
    foreign = [name for name in (*store.names(""), *store.folders("")) if name not in _OURS]
    if foreign:
        raise WrongUse(f"{root} holds other files ({foreign[0]}); choose an empty or new folder with -o")
