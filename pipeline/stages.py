"""The three stages of the flow, as classes that Ray Data keeps in actors. Each turns packed rows into packed rows.

A stage never raises for the sake of one film: what goes wrong becomes an ErrorRow and travels on. Rows that are already
results pass through. All state along time lives inside one call on one row, so a retry only recomputes.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from operators.video.segment_frames import Read
from operators.video.thumbnails import ShotThumbnails
from pipeline.deaths import begin
from pipeline.local_copy import FilmChanged, local_copy
from pipeline.prepare_worker import prepare_worker
from pipeline.rows import pack, unpack
from pipeline.staging import Cut, Staging
from pipeline.stop import is_stopping
from pipeline.storage_errors import one_line, storage_trouble
from pipeline.store import Store
from schemas.clips import SegmentTracks, TrackClip
from schemas.errors import BadInput
from schemas.job import Input, Job
from schemas.outcomes import ErrorRow, Note, Postponed, Receipt, Stage
from schemas.video import Segment


@dataclass(frozen=True, kw_only=True)
class SegmentTask:
    """Find the faces of one segment."""

    input: Input
    segment: Segment


@dataclass(frozen=True, kw_only=True)
class ClipTask:
    """Invert one part; `receipt` is what to hand in when it is staged."""

    input: Input
    clip: TrackClip
    receipt: Receipt


class CutVideo:
    """Input -> its segments: probe, find the shots, deal them out. Needs no torch."""

    def __init__(self, job: Job) -> None:
        from operators.video.frame_source import FrameSource
        from operators.video.shots import FindShots

        self.job = job
        self.frames = FrameSource(deadline_s=job.decode_deadline_s)
        self.find_shots = FindShots(job.config.shots)

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        from operators.video.segments import cut_segments

        for task in unpack(block):
            with _ErrorRows(task, None) as errors:
                if is_stopping(self.job):
                    yield pack(task.video_id, Postponed(video_id=task.video_id))
                    continue
                staging = _staging(self.job, task)
                errors.at("staging")
                begin(staging, self.job.run_id)
                cut = staging.read_cut()
                if cut is None:
                    cut = self._cut(task, errors.at)
                    errors.at("staging")
                    staging.write_cut(cut)
                yield pack(task.video_id, Note(video_id=task.video_id, n_shots=len(cut.shots)))
                for segment in cut_segments(cut.video, cut.shots, self.job.config.shots):
                    yield pack(task.video_id, SegmentTask(input=task, segment=segment))
            yield from errors.rows

    def _cut(self, task: Input, at: Callable[[Stage], None]) -> Cut:
        from operators.video.look_through import LookThrough
        from operators.video.segments import cut_segments

        settings = self.job.config.shots
        at("probe")
        with local_copy(task, self.job.storage_options) as path:
            video = self.frames.probe(path, uri=task.uri, video_id=task.video_id)
            at("shots")
            film = LookThrough(self.frames, video, path, longer_side_px=settings.detect_px)
            shots = self.find_shots(video, film)
            if self.frames.taken_over:
                # decord may have passed over a damaged frame without a word, and given all behind it too early. PyAV
                # says each picture's time.
                film = LookThrough(self.frames, replace(video, decoder="pyav"), path, longer_side_px=settings.detect_px)
                shots = self.find_shots(video, film)
        return Cut(video=film.video, shots=shots, n_segments=len(cut_segments(film.video, shots, settings)))


class FindFaces:
    """Segment -> its aligned tracks (0 is an answer), each with its expression. Needs no torch where dlib finds."""

    def __init__(self, job: Job) -> None:
        from operators.video.frame_source import FrameSource

        self.job = job
        self.frames = FrameSource(deadline_s=job.decode_deadline_s)
        emotion = job.config.emotion
        self.find_tracks = make_find_tracks(job)
        self.read_emotion = None
        if emotion.model:
            from operators.emotion.onnx_emotion import OnnxEmotion

            self.read_emotion = OnnxEmotion(emotion.model, emotion)

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        for task in unpack(block):
            if not isinstance(task, SegmentTask):
                yield pack(task.video_id, task)
                continue
            with _ErrorRows(task.input, task.segment.segment_index) as errors:
                yield from self._find(task, errors.at)
            yield from errors.rows

    def _find(self, task: SegmentTask, at: Callable[[Stage], None]) -> Iterator[pa.Table]:
        staging, segment = _staging(self.job, task.input), task.segment
        staged = staging.read_parts(segment.segment_index)
        n_rows = {part: staging.part_rows(part) for part in staged or ()}
        has_thumbnails = staging.read_thumbnails(segment.segment_index) is not None
        if staged is not None and None not in n_rows.values() and has_thumbnails:
            yield pack(task.input.video_id, Note(video_id=task.input.video_id, n_faces=len(staged)))
            yield from _receipts_of_staged(staging.video_id, segment, n_rows)
            return
        at("faces")
        thumbnails = ShotThumbnails(segment)
        with local_copy(task.input, self.job.storage_options) as path:
            found = self.find_tracks(
                segment,
                thumbnails.watched(
                    lambda: self.frames.read(
                        segment.video, path, first_frame=segment.decode_first, n_frames=segment.decode_n
                    )
                ),
            )
        clips = found.clips
        if self.read_emotion is not None:
            at("emotion")
            clips = [self.read_emotion(clip) for clip in clips]
        at("staging")
        staging.write_thumbnails(segment.segment_index, thumbnails.jpegs)
        staging.write_parts(segment.segment_index, [clip.track.key for clip in clips], found.dropped)
        yield pack(task.input.video_id, Note(video_id=task.input.video_id, n_faces=len(clips)))
        if not clips:
            yield pack(task.input.video_id, _receipt(segment, n_parts=0, part=None, n_frames=0))
        for clip in clips:
            part, n = str(clip.track.key), clip.track.n_kept
            if staging.part_rows(part) is not None:
                receipt = _receipt(segment, n_parts=len(clips), part=part, n_frames=n, reused=True)
                yield pack(task.input.video_id, receipt)
            else:
                receipt = _receipt(segment, n_parts=len(clips), part=part, n_frames=n)
                yield pack(task.input.video_id, ClipTask(input=task.input, clip=clip, receipt=receipt))


def make_find_tracks(job: Job) -> Callable[[Segment, Read], SegmentTracks]:
    """What turns a segment into tracks of the job's subject."""
    faces, crop_px = job.config.faces, job.generator.resolution
    if job.config.subject == "frame":
        from operators.video.frame_tracks import TrackFrames

        return TrackFrames(faces, crop_px=crop_px)
    from operators.faces.find_tracks import FindTracks
    from operators.faces.finder import make_finder
    from operators.faces.identity import IdentityReader

    return FindTracks(make_finder(faces, device=job.device), faces, crop_px=crop_px, identity=IdentityReader())


class InvertAndStage:
    """Clips -> receipts: latents are written to `_staging/` where they are made and never travel. The GPU stage."""

    def __init__(self, job: Job) -> None:
        from operators.inversion.inverter import make_inverter
        from operators.stylegan.checkpoint import load_generator

        prepare_worker()
        self.job = job
        generator = load_generator(job.generator.name, seed=job.config.seed, label=job.config.label)
        config = job.config
        self.invert = make_inverter(
            generator,
            config.inversion,
            loss=config.loss,
            scene=config.scene,
            seed=config.seed,
            device=job.device,
        )

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        rows = list(unpack(block))
        tasks = [row for row in rows if isinstance(row, ClipTask)]
        yield from (pack(row.video_id, row) for row in rows if not isinstance(row, ClipTask))
        if len(tasks) == 1:
            yield from self._one(tasks[0])
        elif tasks:
            yield from self._batch(tasks)

    def _batch(self, tasks: list[ClipTask]) -> Iterator[pa.Table]:
        """Clips in lock step. Should one of them fail, each goes alone, so that only the one at fault is lost."""
        try:
            clips = self.invert([task.clip for task in tasks])
        except (ValueError, RuntimeError):
            for task in tasks:
                yield from self._one(task)
            return
        for task, clip in zip(tasks, clips, strict=True):
            with _ErrorRows(task.input, task.receipt.segment_index) as errors:
                errors.at("staging")
                _staging(self.job, task.input).write_part(clip)
                yield pack(task.input.video_id, task.receipt)
            yield from errors.rows

    def _one(self, task: ClipTask) -> Iterator[pa.Table]:
        with _ErrorRows(task.input, task.receipt.segment_index) as errors:
            errors.at("inversion")
            (clip,) = self.invert([task.clip])
            errors.at("staging")
            _staging(self.job, task.input).write_part(clip)
            yield pack(task.input.video_id, task.receipt)
        yield from errors.rows


class _ErrorRows:
    """Turns what is raised inside the block into one ErrorRow, named by the stage that was last announced.

    A film that was changed meanwhile is postponed: its content is not the one that was to be worked on.
    """

    def __init__(self, task: Input, segment_index: int | None) -> None:
        self.task, self.segment_index = task, segment_index
        self.stage: Stage = "probe"
        self.rows: list[pa.Table] = []

    def at(self, stage: Stage) -> None:
        self.stage = stage

    def __enter__(self) -> "_ErrorRows":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: Any) -> bool:
        if not isinstance(err, Exception):  # nothing, or a request to stop (KeyboardInterrupt, GeneratorExit)
            return False
        if isinstance(err, FilmChanged):
            self.rows = [pack(self.task.video_id, Postponed(video_id=self.task.video_id))]
            return True
        logging.getLogger(__name__).debug("%s failed at %s", self.task.uri, self.stage, exc_info=err)
        row = ErrorRow(
            video_id=self.task.video_id,
            uri=self.task.uri,
            stage=self.stage,
            segment_index=self.segment_index,
            error_type=type(err).__name__,
            message=_in_one_line(self.task.uri, err),
            permanent=isinstance(err, BadInput),
        )
        self.rows = [pack(self.task.video_id, row)]
        return True


def _in_one_line(uri: str, err: Exception) -> str:
    if not isinstance(err, OSError) or not err.strerror:
        return one_line(err)
    if isinstance(err, PermissionError | FileNotFoundError):
        return f"{err.filename or uri}: {storage_trouble(err)}"
    return f"{err.filename or uri}: {err.strerror}; check the disk, and run again"


def _staging(job: Job, task: Input) -> Staging:
    return Staging(Store(job.dataset, job.storage_options), job.config_id, task.video_id)


def _receipt(segment: Segment, *, n_parts: int, part: str | None, n_frames: int, reused: bool = False) -> Receipt:
    return Receipt(
        video_id=segment.video.video_id,
        segment_index=segment.segment_index,
        n_segments=segment.n_segments,
        n_parts=n_parts,
        part=part,
        n_frames=n_frames,
        reused=reused,
    )


def _receipts_of_staged(video_id: str, segment: Segment, n_rows: Mapping[str, int | None]) -> Iterator[pa.Table]:
    counts: list[tuple[str | None, int | None]] = [*n_rows.items()] or [(None, 0)]
    for part, n_frames in counts:
        yield pack(video_id, _receipt(segment, n_parts=len(n_rows), part=part, n_frames=n_frames or 0, reused=True))
