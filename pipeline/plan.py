"""What needs work: the films that the sources name, less those that the dataset already accounts for."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import fsspec

from operators.video.video_id import video_id_of
from pipeline.sources import Problem, expand_sources
from pipeline.tables import Tables
from schemas.job import Input


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every film of the sources is in exactly one of these lists."""

    todo: list[Input]
    done: list[Input]  # committed or no_faces, by an earlier run
    quarantined: dict[str, str]  # uri -> reason, by an earlier run
    problems: list[Problem]  # cannot even be read
    doubles: dict[str, str] = field(default_factory=dict)  # uri -> uri of the film with the same bytes


def plan_videos(sources: tuple[str, ...], tables: Tables) -> Plan:
    """Reads every source once, to know its content."""
    films, problems = expand_sources(sources)
    with ThreadPoolExecutor(4) as pool:  # reading waits for disks and networks; hashing releases the interpreter's lock
        outcomes = list(pool.map(_identify, films))
    fates = _fates(tables)
    todo, done, quarantined, doubles = [], [], {}, {}
    seen: dict[str, str] = {}
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            problems.append(outcome)
        elif outcome.video_id in seen:
            doubles[outcome.uri] = seen[outcome.video_id]
        else:
            seen[outcome.video_id] = outcome.uri
            status, reason = fates.get(outcome.video_id, (None, None))
            if status == "quarantined":
                quarantined[outcome.uri] = str(reason)
            elif status is not None:
                done.append(outcome)
            else:
                todo.append(outcome)
    return Plan(todo=todo, done=done, quarantined=quarantined, problems=problems, doubles=doubles)


def _identify(uri: str) -> Input | Problem:
    fs, path = fsspec.core.url_to_fs(uri)
    try:
        info = fs.info(path)
        if info["type"] != "file":
            return Problem(uri, f"is a {info['type']}, not a file; name a film")
        with fs.open(path, "rb") as stream:
            video_id = video_id_of(stream)
    except OSError as err:
        return Problem(uri, f"cannot be read ({err.strerror or err}); check the path and its permissions")
    return Input(uri=uri, video_id=video_id, bytes=int(info["size"]))


def _fates(tables: Tables) -> dict[str, tuple[str, str | None]]:
    rows = tables.open("videos").to_pyarrow_dataset().to_table(columns=["video_id", "status", "reason"])
    columns = (rows[name].to_pylist() for name in ("video_id", "status", "reason"))
    return {video_id: (status, reason) for video_id, status, reason in zip(*columns, strict=True)}
