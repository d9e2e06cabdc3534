"""Films with their faces replaced by what the dataset's latents make of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as with_progress

from jobs.track_pictures import TrackPictures, inverted_film
from operators.faces.paste import MaskShape, PasteCrop
from operators.video.encode import write_timed_mp4
from operators.video.frame_source import FrameSource
from pipeline.read import Dataset
from schemas.errors import WrongUse
from schemas.video import Frame

CRF = 18  # x264's own choice for what the eye cannot tell from the film; this is looked at, not measured
FRAMES_AT_ONCE = 64  # whose rows are in memory: at 1024 px and ten faces 24 MB of latents
PICTURES_AT_ONCE = 8  # as in render


@dataclass(frozen=True, kw_only=True)
class Span:
    """Which frames of which film, and whose faces in them are replaced."""

    video_id: str
    uri: str
    bytes: int
    first_frame: int
    n_frames: int
    tracks: tuple[str, ...]


def span_of_track(track: dict[str, Any]) -> Span:
    """The frames of one track. Takes: a row of `tracks` with its film's uri and bytes."""
    names = ("video_id", "uri", "bytes", "first_frame", "n_frames")
    return Span(**{name: track[name] for name in names}, tracks=(track["track_id"],))


def span_of_film(dataset: Dataset, video: str) -> Span:
    """A whole film and all its tracks. Takes: its id or uri. Raises: WrongUse for one without tracks here."""
    named = video.replace("'", "''")
    rows = dataset.sql(
        "select v.video_id, v.uri, v.bytes, v.n_frames, list(t.track_id order by t.track_id) as tracks "
        "from videos v join tracks t using (video_id) "
        f"where v.video_id = '{named}' or v.uri = '{named}' group by all"
    ).fetchall()
    if not rows:
        raise WrongUse(f"{video}: no film of this id or uri has tracks here; `latentreel status` lists films by fate")
    video_id, uri, n_bytes, n_frames, tracks = rows[0]
    return Span(
        video_id=video_id, uri=uri, bytes=n_bytes, first_frame=0, n_frames=n_frames, tracks=tuple(sorted(tracks))
    )


def write_pasted_film(
    dataset: Dataset,
    span: Span,
    target: Path,
    *,
    shape: MaskShape | None = None,
    feather: float | None = None,
    generator: str | None = None,
) -> None:
    """Writes the frames of the span at their own times, without sound, whole or not at all.

    Takes: `shape` and `feather` as PasteCrop; None: the face where the subject is one and all of the crop where it is
    not, and its own feather; `generator` as TrackPictures.
    Raises: WrongUse when the film or the generator is gone, and for a mask that the dataset's subject has not.
    """
    pictures = TrackPictures(dataset, generator)
    shape = shape or ("face" if pictures.shows_faces else "square")
    try:
        paste = PasteCrop(shape=shape) if feather is None else PasteCrop(shape=shape, feather=feather)
    except ValueError as err:
        raise WrongUse(f"--feather: {err}") from err
    if shape == "face" and not pictures.shows_faces:
        raise WrongUse("--mask face: the dataset's subject is whole frames; take ellipse or square")
    console = Console(stderr=True)
    with (
        FrameSource() as source,
        inverted_film(
            source,
            uri=span.uri,
            video_id=span.video_id,
            n_bytes=span.bytes,
            storage_options=dataset.tables.storage_options,
        ) as (video, path),
    ):
        if target.resolve() == Path(path).resolve():
            raise WrongUse(f"{target}: is the film itself; choose another name with -o")
        filmed = with_progress(
            source.read(video, path, first_frame=span.first_frame, n_frames=span.n_frames),
            description=f"{span.n_frames} frames",
            total=span.n_frames,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        start_us = int(video.pts_us[span.first_frame])
        pasted = pasted_frames(dataset, span, pictures, paste, iter(filmed))
        frames = ((frame.pts_us - start_us, _even(frame.rgb_HWC)) for frame in pasted)
        rate = Fraction(video.fps).limit_denominator(1001) if video.fps > 0 else Fraction(25)
        write_timed_mp4(target, frames, fps=rate, crf=CRF)
    faces = f"{len(span.tracks)} track{'' if len(span.tracks) == 1 else 's'}"
    print(f"{target}: {span.n_frames} frames of {span.uri}, {faces} pasted ({shape}); without sound")


def pasted_frames(
    dataset: Dataset, span: Span, pictures: TrackPictures, paste: PasteCrop, filmed: Iterator[Frame]
) -> Iterator[Frame]:
    """The span's frames, each with its faces replaced in the order of their tracks; few in memory at a time."""
    for first in range(span.first_frame, span.first_frame + span.n_frames, FRAMES_AT_ONCE):
        end = min(first + FRAMES_AT_ONCE, span.first_frame + span.n_frames)
        faces = iter(_faces(dataset, span, pictures, first, end))
        at_frame = groupby(faces, key=itemgetter("frame_index"))
        upcoming = next(at_frame, None)
        for frame_index in range(first, end):
            frame = next(filmed)
            assert frame.frame_index == frame_index, "a source gives the frames it is asked for"
            rgb_HWC = frame.rgb_HWC
            if upcoming is not None and upcoming[0] == frame_index:
                for face in upcoming[1]:
                    points = face["landmarks"]
                    rgb_HWC = paste(
                        rgb_HWC,
                        face["picture"],
                        np.array(face["quad"], np.float32).reshape(4, 2),
                        None if points is None else np.array(points, np.float32).reshape(-1, 2),
                    )
                upcoming = next(at_frame, None)
            yield Frame(frame_index=frame_index, pts_us=frame.pts_us, rgb_HWC=rgb_HWC)


def _faces(dataset: Dataset, span: Span, pictures: TrackPictures, first: int, end: int) -> Iterator[dict[str, Any]]:
    """Rows of `frames` with their reconstruction as `picture`, by frame, then track."""
    wanted = ", ".join(f"'{track_id}'" for track_id in span.tracks)
    rows: pa.Table = dataset.sql(
        "select frame_index, track_id, w, noise, quad, landmarks from frames "
        f"where video_id = '{span.video_id}' and frame_index >= {first} and frame_index < {end} "
        f"and track_id in ({wanted}) order by frame_index, track_id"
    ).to_arrow_table()
    for at in range(0, rows.num_rows, PICTURES_AT_ONCE):
        some = rows.slice(at, PICTURES_AT_ONCE)
        made_NRRC = pictures.reconstructions(some)
        for row, picture_RRC in zip(some.drop_columns(["w", "noise"]).to_pylist(), made_NRRC, strict=True):
            yield row | {"picture": picture_RRC}


def _even(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H.264 in 4:2:0 takes even sides: the last row or column of an odd one is there twice."""
    height, width, _ = rgb_HWC.shape
    return np.pad(rgb_HWC, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
