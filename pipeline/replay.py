"""One film through the stages of the flow in this process, without Ray: the same classes, one after the other."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from pipeline.rows import pack, unpack
from pipeline.stages import ClipTask, CutVideo, FindFaces, InvertAndStage, SegmentTask
from schemas.job import Input, Job


def work_here(task: Input, job: Job, *, only_segment: int | None = None) -> Iterator[Any]:
    """Every row that a stage hands on, when it does: Note, SegmentTask, ClipTask, Receipt, Postponed, ErrorRow.

    Takes: `only_segment`: the others are named and not worked on.
    Not promised: that `job.dataset` stays as it is: parts are staged there. Give another folder to look on only.
    """
    find: FindFaces | None = None
    invert: InvertAndStage | None = None
    with ExitStack() as sources:
        cut = CutVideo(job)
        sources.enter_context(cut.frames)
        for row in _rows(cut, task.video_id, task):
            yield row
            if not isinstance(row, SegmentTask) or only_segment not in (None, row.segment.segment_index):
                continue
            if find is None:  # when it is needed: a film that does not open waits for no network
                find = FindFaces(job)
                sources.enter_context(find.frames)
            for found in _rows(find, task.video_id, row):
                yield found
                if isinstance(found, ClipTask):
                    invert = invert or InvertAndStage(job)
                    yield from _rows(invert, task.video_id, found)


def _rows(stage: CutVideo | FindFaces | InvertAndStage, video_id: str, row: object) -> Iterator[Any]:
    for block in stage(pack(video_id, row)):
        yield from unpack(block)
