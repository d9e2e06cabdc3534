"""latentreel replay DATASET VIDEO [SEGMENT]: one unit of work again, in this process, without Ray. Nothing is kept.

It is the very code of a run, staged into a folder that goes away; the dataset is only asked for its settings.
"""

import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.describe_job import job_of_dataset
from operators.video.video_id import video_id_of
from pipeline.local_copy import local_copy
from pipeline.replay import work_here
from pipeline.stages import ClipTask, SegmentTask
from pipeline.staging import Staging
from pipeline.store import Store
from pipeline.tables import Tables, open_tables
from schemas.errors import WrongUse
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Receipt
from schemas.video import Segment

CROPS_PER_LINE = 12  # half a second of a film


def replay(
    dataset: str,
    video: str,
    segment: int | None,
    *,
    output: str | None = None,
    device: str = "cpu",
    debug: bool = False,
    storage_options: Mapping[str, str] | None = None,
) -> int:
    """Prints what comes out of each step. Gives the exit code: 1 where a step fails, which is said in one line.

    Takes: a film's id or uri as `status` prints them; `segment` None: all; `output`: a folder for crops and latents.
    Raises: WrongUse for a film that the dataset does not know, that is gone or changed, or has no such segment.
    """
    tables = open_tables(dataset, storage_options)
    task = _film(tables, dataset, video)
    job = job_of_dataset(tables, dataset, device=device)
    folder = None if output is None else _folder(Path(output), dataset)
    _check_content(task, job)
    if debug:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("pipeline.stages").setLevel(logging.DEBUG)  # where they become one line, with their traceback
    with tempfile.TemporaryDirectory(prefix="latentreel-replay-") as staged:
        return _Replay(task, replace(job, dataset=staged), folder).run(segment)


def _film(tables: Tables, dataset: str, video: str) -> Input:
    rows = tables.read("videos", ["video_id", "uri", "bytes"]).to_pylist()
    found = [row for row in rows if video in (row["video_id"], row["uri"])]
    if not found:
        raise WrongUse(
            f"{video} is not in {dataset}; give a film's id or uri: "
            f'`latentreel query {dataset} "select video_id, uri from videos"` lists them'
        )
    return Input(**found[0])


def _folder(path: Path, dataset: str) -> Path:
    if Path(dataset).resolve() in (path.resolve(), *path.resolve().parents):
        raise WrongUse(f"{path}: a dataset takes no other files; name a folder beside {dataset}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise WrongUse(f"{path}: {err.strerror or err}; name another folder with -o") from err
    return path


def _check_content(task: Input, job: Job) -> None:
    """What is worked on has to be what failed, to the last byte."""
    try:
        with local_copy(task, job.storage_options) as path:
            if not Path(path).is_file():
                raise WrongUse(f"{task.uri}: is gone, or no file any more; put the film back")
            with Path(path).open("rb") as film:
                found = video_id_of(film)
    except OSError as err:
        raise WrongUse(f"{task.uri}: {err.strerror or err}; put the film back to where it was read from") from err
    if found != task.video_id:
        raise WrongUse(
            f"{task.uri}: holds another film by now ({found}, not {task.video_id}); put the former one back, or "
            "`latentreel ingest` the new one"
        )


class _Replay:
    """Says what each row means, and how long it took to come."""

    def __init__(self, task: Input, job: Job, folder: Path | None) -> None:
        self.task, self.job, self.folder = task, job, folder
        self.staging = Staging(Store(job.dataset, job.storage_options), job.config_id, task.video_id)
        self.since = time.monotonic()
        self.n_segments = 0
        self.n_errors = 0
        self.is_found = False

    def run(self, only_segment: int | None) -> int:
        for row in work_here(self.task, self.job, only_segment=only_segment):
            if isinstance(row, SegmentTask):
                self._cut(row.segment, wanted=only_segment in (None, row.segment.segment_index))
            elif isinstance(row, ClipTask):
                self._clip(row)
            elif isinstance(row, Receipt):
                self._receipt(row)
                self._thumbnails(row.segment_index)
            elif isinstance(row, ErrorRow):
                where = "" if row.segment_index is None else f", segment {row.segment_index}"
                print(f"latentreel: {row.stage}{where}: {row.message}", file=sys.stderr)
                self.n_errors += 1
        if only_segment is not None and not self.is_found and not self.n_errors:
            raise WrongUse(
                f"{self.task.uri}: has no segment {only_segment}; give one of 0 to {self.n_segments - 1}, or none"
            )
        return 1 if self.n_errors else 0

    def _cut(self, segment: Segment, *, wanted: bool) -> None:
        video = segment.video
        if self.n_segments == 0:
            cut = self.staging.read_cut()
            n_shots = len(cut.shots) if cut else 0
            print(
                f"film       {video.uri}: {video.codec}, {video.width}x{video.height}, {video.fps:.3f} fps, "
                f"{video.n_frames} frames, {video.duration_s:.2f} s, read by {video.decoder}"
            )
            print(f"shots      {n_shots} in {segment.n_segments} segments, {self._seconds()}")
        self.n_segments = segment.n_segments
        if wanted:
            self.is_found = True
            shots = f"shots {segment.shots[0].shot_index} to {segment.shots[-1].shot_index}"
            frames = f"frames {segment.first_frame} to {segment.end_frame - 1}"
            print(
                f"segment    {segment.segment_index}: {shots}, {frames}, "
                f"and {segment.warmup_frames} before and {segment.lookahead_frames} behind"
            )

    def _clip(self, task: ClipTask) -> None:
        track = task.clip.track
        side_px = float(np.linalg.norm(track.quad_T42[:, 3] - track.quad_T42[:, 0], axis=1).mean())
        gaps = int((track.confidence[track.warmup_frames :] == 0).sum())
        print(
            f"track      {track.key}: frames {track.frame_index[0]} to {track.frame_index[-1]}, "
            f"{track.warmup_frames} of them warm-up, crops {side_px:.0f} px wide, {gaps} gaps, {self._seconds()}"
        )
        if self.folder is not None:
            _sheet(task.clip.crops_TRRC).save(self.folder / f"{track.key}.png")

    def _receipt(self, receipt: Receipt) -> None:
        if receipt.part is None:
            print(f"faces      none in segment {receipt.segment_index}, {self._seconds()}")
            return
        rows = self.staging.read_part(receipt.part, ["w", "psnr"])
        psnr = rows["psnr"].to_numpy()
        print(
            f"latents    {receipt.part}: {len(psnr)}, PSNR {psnr.mean():.2f} dB, worst {psnr.min():.2f} dB, "
            f"{self._seconds()}"
        )
        if self.folder is not None:
            np.save(self.folder / f"{receipt.part}.npy", _latents(rows["w"], self.job))

    def _thumbnails(self, segment_index: int) -> None:
        if self.folder is not None:
            for shot_index, jpeg in (self.staging.read_thumbnails(segment_index) or {}).items():
                (self.folder / f"shot{shot_index:05d}.jpg").write_bytes(jpeg)

    def _seconds(self) -> str:
        """Since this was last asked."""
        before, self.since = self.since, time.monotonic()
        return f"{self.since - before:.1f} s"


def _latents(column: Any, job: Job) -> NDArray[np.float32]:
    """(T, num_ws, w_dim)."""
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    return flat.reshape(len(column), job.generator.num_ws, job.generator.w_dim)


def _sheet(crops_TRRC: NDArray[np.uint8]) -> Image.Image:
    """The crops in lines, as they were inverted, warm-up first."""
    n, side = crops_TRRC.shape[:2]
    sheet = Image.new("RGB", (min(n, CROPS_PER_LINE) * side, -(-n // CROPS_PER_LINE) * side))
    for t, crop_RRC in enumerate(crops_TRRC):
        line, place = divmod(t, CROPS_PER_LINE)
        sheet.paste(Image.fromarray(crop_RRC), (place * side, line * side))
    return sheet
