"""A picture of a dataset: each track's first, middle and last face above its reconstruction.

Crops are not stored. They are made again from the film and the stored quads, which shows that the dataset is enough.
"""

import io
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from jobs.track_pictures import TrackPictures, faces, inverted_film
from operators.latents.contact_sheet import SheetEntry, contact_sheet, shown_frames
from operators.training.write_file import write_file
from operators.video.frame_source import FrameSource
from pipeline.read import Dataset
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from schemas.video import Video

TRACKS_MAX = 48  # more do not fit on a page that anyone looks at


def write_contact_sheet(dataset: Dataset, path: Path) -> list[str]:
    """Writes a PNG, whole or not at all. Gives one line for each film that is left out, because it is gone.

    Raises: WrongUse when the generator is gone, or all films are.
    """
    pictures = TrackPictures(dataset)
    entries: list[SheetEntry] = []
    left_out: list[str] = []
    tracks = _tracks(dataset)
    console = Console(stderr=True)
    shown = Progress(console=console, transient=True, disable=not console.is_terminal)
    with shown as progress, FrameSource() as source:
        task = progress.add_task("contact sheet", total=len(tracks))
        for (video_id, uri, n_bytes), of_film in groupby(tracks, key=itemgetter("video_id", "uri", "bytes")):
            try:
                options = dataset.tables.storage_options
                copied = inverted_film(source, uri=uri, video_id=video_id, n_bytes=n_bytes, storage_options=options)
                with copied as (video, film):
                    for track in of_film:
                        entries.append(_entry(dataset, track, pictures, source, video, film))
                        progress.advance(task)
            except WrongUse as err:
                left_out.append(str(err))
    if left_out and not entries:
        raise WrongUse("; ".join(left_out))
    png = io.BytesIO()
    ((n_tracks,),) = dataset.sql("select count(*) from tracks").fetchall()
    contact_sheet(entries, n_tracks=n_tracks).save(png, "png")
    write_file(path, png.getvalue())
    return left_out


def _tracks(dataset: Dataset) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        dataset.sql(
            "select t.*, v.uri, v.bytes from tracks t join videos v using (video_id) "
            f"order by track_id limit {TRACKS_MAX}"
        )
        .to_arrow_table()
        .to_pylist()
    )
    return rows


def _entry(
    dataset: Dataset, track: dict[str, Any], pictures: TrackPictures, source: FrameSource, video: Video, film: str
) -> SheetEntry:
    wanted = [track["first_frame"] + t for t in shown_frames(track["n_frames"])]
    rows = faces(dataset, track["track_id"], f"frame_index in ({', '.join(map(str, wanted))})")
    crops = []
    for frame_index, quad in zip(rows["frame_index"].to_pylist(), rows["quad"].to_pylist(), strict=True):
        (frame,) = source.read(video, film, first_frame=frame_index, n_frames=1)
        crops.append(pictures.crop(frame, quad))
    return SheetEntry(
        track_id=track["track_id"],
        shot_index=track["shot_index"],
        frame_index=tuple(rows["frame_index"].to_pylist()),
        crops_NRRC=np.stack(crops),
        reconstructions_NSSC=pictures.reconstructions(rows),
        emotion=None if track["emotion"] is None else EMOTIONS[track["emotion"]],
        psnr=track["psnr"],
    )
