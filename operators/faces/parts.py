"""Into which parts a track is cut, so that the crops of one row stay below a limit."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Part:
    """Frames head..end of a video go into one clip; those before `start` are its warm-up."""

    head: int
    start: int
    end: int


def cut_into_parts(*, first: int, kept_from: int, end: int, frames_max: int, warmup_frames: int) -> list[Part]:
    """The parts of a track that shows frames `first` to `end` (exclusive), of which those from `kept_from` on are kept.

    Gives: parts whose start..end cover the kept frames, each frame once; none when nothing is kept. A part has at most
    `frames_max` frames, its warm-up included, which is at most `warmup_frames` long. A track above the limit is cut
    where frame_index is a multiple of frames_max - warmup_frames: at the same places whatever the track's first frame
    is, so that finding a face one frame earlier does not shift every part behind it.
    Raises: ValueError when not even one frame is left beside the warm-up.
    """
    step = frames_max - warmup_frames
    if step < 1:
        raise ValueError(f"{frames_max} frames fit into a clip and {warmup_frames} are warm-up; raise clip_bytes_max")
    kept_from = max(kept_from, first)
    if kept_from >= end:
        return []
    head = max(first, kept_from - warmup_frames)
    if end - head <= frames_max:
        return [Part(head=head, start=kept_from, end=end)]
    starts = [kept_from, *range((kept_from // step + 1) * step, end, step)]
    ends = [*starts[1:], end]
    return [Part(head=max(first, a - warmup_frames), start=a, end=b) for a, b in zip(starts, ends, strict=True)]
