"""latentreel retry DATASET [VIDEO...]: clears quarantined films, so that the next `invert` tries them again."""

from collections.abc import Mapping

from pipeline.attempts import Attempts
from pipeline.read import open_dataset
from pipeline.rewrite import drop_films
from schemas.errors import WrongUse


def retry(dataset: str, videos: tuple[str, ...] = (), *, storage_options: Mapping[str, str] | None = None) -> int:
    """Takes: ids or sources as `status` prints them; none means all. Raises: WrongUse for one not quarantined."""
    opened = open_dataset(dataset, storage_options)
    rows = opened.sql("select video_id, uri from videos where status = 'quarantined' order by uri").fetchall()
    unknown = [video for video in videos if video not in {name for row in rows for name in row}]
    if unknown:
        raise WrongUse(
            f"{unknown[0]} is not quarantined in {dataset}; `latentreel status {dataset}` lists those that are"
        )
    store, config_id = opened.tables.store, opened.properties["config_id"]
    for video_id, uri in rows:
        if not videos or video_id in videos or uri in videos:
            Attempts(store, config_id, video_id).clear()
            drop_films(opened.tables, [video_id], config_id=config_id, what=f"to be tried again: {uri}")
            print(f"cleared {uri}")
    return 0
