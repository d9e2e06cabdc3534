"""latentreel render DATASET TRACK -o x.mp4: a track as it was filmed, as its latents make it, and what differs.

Without TRACK and into a .png: the contact sheet of the dataset's tracks. With --paste: the film, its faces replaced.
"""

import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track as with_progress

from jobs.contact_sheet import TRACKS_MAX, write_contact_sheet
from jobs.pasted_film import span_of_film, span_of_track, write_pasted_film
from jobs.track_pictures import TrackPictures, faces, inverted_film
from operators.faces.paste import MaskShape
from operators.latents.shot_sheet import ShotPicture, shot_sheet
from operators.latents.side_by_side import ComparedFrame, SideBySide
from operators.training.write_file import write_file
from operators.video.encode import write_mp4, write_timed_mp4
from operators.video.frame_source import FrameSource
from pipeline.create_tables import CONTACT_SHEET
from pipeline.read import Dataset, open_dataset
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from schemas.video import Frame

CRF = 14  # the film is made to judge small differences: blocks of the encoder would pass for the generator's
ROWS_AT_ONCE = 256  # the tables' row group; at 1024 px its latents are 9 MB
PICTURES_AT_ONCE = 8  # as the inversion measures them: 4.2 GB at 1024 px (random-1024-f); more are no faster on a CPU
NEAR_MATCHES = 3  # as many ids as fit a line


@dataclass(frozen=True, kw_only=True)
class Pasting:
    """What --paste says. `video` None: the frames of the named track, and its face alone."""

    video: str | None = None
    shape: MaskShape | None = None
    feather: float | None = None


def render(
    dataset: str,
    track: str | None,
    *,
    output: str,
    resample_fps: float | None = None,
    pasting: Pasting | None = None,
    shots: str | None = None,
    generator: str | None = None,
    version: int | None = None,
    storage_options: Mapping[str, str] | None = None,
) -> int:
    """Writes OUTPUT, whole or not at all. Gives the exit code; 1 when films are missing from a contact sheet.

    Takes: `track`: a track's id, or an end of it that only one track has; None: all tracks, as a contact sheet;
    `resample_fps`: of a track that was inverted as a scene, its reconstruction alone, at another rate than the film's;
    `pasting`: the film instead, reconstructions in it; `shots`: of a film, by id or uri, the sheet of its shots;
    `generator`: another one than the dataset's, tuned from it, that draws the latents; `version`: of the dataset; None:
    the newest.
    Raises: WrongUse for a place or a track that will not do, and for a film that is gone; BadInput or Interrupted when
    it does not decode.
    """
    target = Path(output)
    if shots is not None:
        _check_shots(target, track, pasting, resample_fps)
    elif pasting is not None:
        _check_pasting(target, track, pasting, resample_fps)
    else:
        _check_name(target, track)
    if resample_fps is not None and track is None:
        raise WrongUse("--resample: a sheet shows frames of the film; name a track, and an .mp4 for it")
    if generator is not None and track is None and pasting is None:
        raise WrongUse("--generator: a sheet shows what the dataset's own draws; name a track, and an .mp4 for it")
    opened = open_dataset(dataset, storage_options, version=version)
    _check_place(target, dataset)
    try:
        if shots is not None:
            return _shot_sheet(opened, shots, target)
        if pasting is not None:
            named = pasting.video
            span = span_of_film(opened, named) if named else span_of_track(find_track(opened, str(track)))
            write_pasted_film(opened, span, target, shape=pasting.shape, feather=pasting.feather, generator=generator)
            return 0
        if track is None:
            return _contact_sheet(opened, target)
        if resample_fps is not None:
            return _resampled(opened, find_track(opened, track), target, resample_fps, generator)
        return _film(opened, find_track(opened, track), target, generator)
    except OSError as err:
        raise WrongUse(f"{target}: {err.strerror or err}; make room there, or choose another folder with -o") from err


def _check_shots(target: Path, track: str | None, pasting: Pasting | None, resample_fps: float | None) -> None:
    if track is not None or pasting is not None or resample_fps is not None:
        raise WrongUse("--shots: a sheet of a film's shots takes no track, --paste or --resample")
    if target.suffix != ".png":
        raise WrongUse(f"{target}: a sheet is a picture; name it {target.stem}.png")


def _check_pasting(target: Path, track: str | None, pasting: Pasting, resample_fps: float | None) -> None:
    if (track is None) == (pasting.video is None):
        raise WrongUse("--paste: name a track, or with --video the film whose faces are all replaced")
    if resample_fps is not None:
        raise WrongUse("--paste goes into frames of the film, which --resample leaves; give one of them")
    if pasting.shape is not None and pasting.shape not in get_args(MaskShape):
        raise WrongUse(f"--mask {pasting.shape}: choose one of {', '.join(get_args(MaskShape))}")
    if target.suffix != ".mp4":
        raise WrongUse(f"{target}: a film is an mp4; name it {target.stem}.mp4")


def _check_name(target: Path, track: str | None) -> None:
    if track is None and target.suffix != ".png":
        raise WrongUse(f"{target}: a film shows one track, so name it before -o; all tracks go into one .png")
    if track is not None and target.suffix != ".mp4":
        raise WrongUse(f"{target}: the film of a track is an mp4; name it {target.stem}.mp4")


def _check_place(target: Path, dataset: str) -> None:
    if not target.parent.is_dir():
        raise WrongUse(f"{target.parent}: no such folder; make it first")
    if target.is_dir():
        raise WrongUse(f"{target}: is a folder; name a file in it")
    inside = Path(dataset).resolve() in target.resolve().parents
    if inside and target.name != CONTACT_SHEET:
        raise WrongUse(f"{target}: a dataset takes no other files, or `invert` refuses it; write beside {dataset}")


def _contact_sheet(dataset: Dataset, target: Path) -> int:
    left_out = write_contact_sheet(dataset, target)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    ((n,),) = dataset.sql("select count(*) from tracks").fetchall()
    print(f"{target}: contact sheet; the dataset has {n} tracks{', the first are shown' if n > TRACKS_MAX else ''}")
    return 1 if left_out else 0


def _shot_sheet(dataset: Dataset, video: str, target: Path) -> int:
    """Of what is stored: neither the film nor the generator is needed."""
    named = video.replace("'", "''")
    rows = (
        dataset.sql(
            "select v.uri, s.shot_index, s.first_frame, s.n_frames, s.start_us, s.end_us, s.thumbnail as jpeg "
            "from shots s join videos v using (video_id) "
            f"where v.video_id = '{named}' or v.uri = '{named}' order by s.shot_index"
        )
        .to_arrow_table()
        .to_pylist()
    )
    if not rows:
        raise WrongUse(f"{video}: no film of this id or uri has shots here; `latentreel status` lists films by fate")
    uri = rows[0]["uri"]
    png = io.BytesIO()
    shot_sheet(uri, [ShotPicture(**{k: v for k, v in row.items() if k != "uri"}) for row in rows]).save(png, "png")
    write_file(target, png.getvalue())
    print(f"{target}: {len(rows)} shots of {uri}")
    return 0


def find_track(dataset: Dataset, name: str) -> dict[str, Any]:
    """The row of a track with its film's uri and bytes.

    Takes: the whole id, or an end of it that only one track has, as `demo` prints it: …3b7d984-00002-000.
    Raises: WrongUse with near matches when no track, or more than one, ends so.
    """
    end = name.lstrip("….").replace("'", "''")
    columns = "t.*, v.uri, v.bytes"
    found = (
        dataset.sql(
            f"select {columns} from tracks t join videos v using (video_id) where ends_with(track_id, '{end}') "
            f"order by track_id limit {NEAR_MATCHES + 1}"
        )
        .to_arrow_table()
        .to_pylist()
    )
    if len(found) == 1:
        row: dict[str, Any] = found[0]
        return row
    if found:
        ids = [row["track_id"] for row in found]
        more = ", ..." if len(ids) > NEAR_MATCHES else ""
        raise WrongUse(f"track {name}: more than one ends so ({', '.join(ids[:NEAR_MATCHES])}{more}); give more of it")
    near = dataset.sql(
        f"select track_id from tracks order by contains(track_id, '{end}') desc, "
        f"levenshtein(right(track_id, {len(end)}), '{end}'), track_id limit {NEAR_MATCHES}"
    ).fetchall()
    if not near:
        raise WrongUse(f"track {name}: the dataset has no tracks; `latentreel status` says what became of its films")
    raise WrongUse(f"track {name}: none ends so; the nearest are {', '.join(track_id for (track_id,) in near)}")


def _film(dataset: Dataset, track: dict[str, Any], target: Path, generator: str | None) -> int:
    pictures = TrackPictures(dataset, generator)
    draw = SideBySide(track_id=track["track_id"], shot_index=track["shot_index"], crop_px=pictures.crop_px)
    row = {"uri": track["uri"], "video_id": track["video_id"], "n_bytes": track["bytes"]}
    options = dataset.tables.storage_options
    console = Console(stderr=True)
    with FrameSource() as source, inverted_film(source, **row, storage_options=options) as (video, path):
        if target.resolve() == Path(path).resolve():
            raise WrongUse(f"{target}: is the film itself; choose another name with -o")
        filmed = source.read(video, path, first_frame=track["first_frame"], n_frames=track["n_frames"])
        compared = with_progress(
            compared_frames(dataset, track, pictures, filmed),
            description=f"{track['n_frames']} frames",
            total=track["n_frames"],
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        psnr_db: list[float] = []

        def drawn() -> Iterator[tuple[int, NDArray[np.uint8]]]:
            for frame in compared:
                psnr_db.append(frame.psnr)
                yield frame.pts_us - track["start_us"], draw(frame)

        write_timed_mp4(target, drawn(), fps=_rate(video.fps), crf=CRF)
    seconds = (track["end_us"] - track["start_us"]) / 1e6
    print(f"{target}: {track['n_frames']} frames, {seconds:.2f} s of {track['uri']}, PSNR {np.mean(psnr_db):.1f} dB")
    return 0


def _resampled(dataset: Dataset, track: dict[str, Any], target: Path, fps: float, generator: str | None) -> int:
    """What the path shows between its first and its last knot."""
    if not 1 <= fps <= 1000:
        raise WrongUse(f"--resample {fps:g}: give 1 to 1000 frames a second")
    path = dataset.path(track["track_id"])
    pictures = TrackPictures(dataset, generator)
    n = int((path.pts_us[-1] - path.pts_us[0]) * fps / 1e6) + 1
    pts_us = path.pts_us[0] + (np.arange(n) * 1e6 / fps).astype(np.int64)
    made = (
        frame_RRC
        for at in range(0, n, PICTURES_AT_ONCE)
        for frame_RRC in pictures.generated(path.at(pts_us[at : at + PICTURES_AT_ONCE]))
    )
    write_mp4(target, made, fps=_rate(fps), crf=CRF)
    print(f"{target}: {n} frames at {fps:g} a second, from {len(path.pts_us)} latents")
    return 0


def _rate(fps: float) -> Fraction:
    """Only the last frame lasts by it: what is near 30000/1001 is that."""
    return Fraction(fps).limit_denominator(1001) if fps > 0 else Fraction(25)


def compared_frames(
    dataset: Dataset, track: dict[str, Any], pictures: TrackPictures, filmed: Iterator[Frame]
) -> Iterator[ComparedFrame]:
    """The track's frames, a few in memory at a time however long it is."""
    for rows in _batches(dataset, track):
        reconstructions_NRRC = pictures.reconstructions(rows)
        for row, reconstruction_RRC in zip(rows.drop_columns(["w"]).to_pylist(), reconstructions_NRRC, strict=True):
            frame = next(frame for frame in filmed if frame.frame_index == row["frame_index"])
            crop_RRC = pictures.crop(frame, row["quad"])
            emotion = row["emotion"]
            yield ComparedFrame(
                frame_index=frame.frame_index,
                pts_us=row["pts_us"],
                crop_RRC=crop_RRC,
                reconstruction_RRC=reconstruction_RRC,
                psnr=_psnr(crop_RRC, reconstruction_RRC) if pictures.are_anothers else row["psnr"],
                emotion=None if emotion is None else EMOTIONS[emotion],
                emotion_probability=None if emotion is None else row["emotion_probs"][emotion],
            )


def _psnr(a_RRC: NDArray[np.uint8], b_RRC: NDArray[np.uint8]) -> float:
    """In dB, of 8-bit pictures. The table's is that of the dataset's own generator."""
    error = np.square(a_RRC.astype(np.float32) - b_RRC).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def _batches(dataset: Dataset, track: dict[str, Any]) -> Iterator[pa.Table]:
    end = track["first_frame"] + track["n_frames"]
    for first in range(track["first_frame"], end, ROWS_AT_ONCE):
        rows = faces(dataset, track["track_id"], f"frame_index >= {first} and frame_index < {first + ROWS_AT_ONCE}")
        for at in range(0, rows.num_rows, PICTURES_AT_ONCE):
            yield rows.slice(at, PICTURES_AT_ONCE)
