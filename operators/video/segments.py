"""Deal a film out as work: runs of whole shots of about `segment_s`, and pieces of shots that are longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from schemas.shot_settings import ShotSettings
from schemas.video import Segment, Shot, Video

# A shot up to this many segments long stays whole, and a run of shots never gets longer: cutting a shot costs a
# warm-up, an uneven segment costs nothing.
_LONGEST = 1.5


@dataclass(frozen=True, kw_only=True)
class _Piece:
    shots: tuple[Shot, ...]
    first_frame: int
    n_frames: int
    warmup_frames: int = 0
    lookahead_frames: int = 0


def cut_segments(video: Video, shots: Sequence[Shot], settings: ShotSettings) -> tuple[Segment, ...]:
    """Every frame of the film lies in exactly one segment's `n_frames`; a pure function of its arguments.

    Takes: shots that cover the film in order. Gives: segments in order. Where a long shot is cut depends on that shot
    alone, and the overlap of its pieces never leaves it.
    """
    longest_us = _LONGEST * settings.segment_s * 1e6
    pieces: list[_Piece] = []
    run: list[Shot] = []
    for shot in shots:
        if run and shot.end_us - run[0].start_us > longest_us:
            pieces.append(_whole(run))
            run = []
        if shot.end_us - shot.start_us > longest_us:
            pieces += _cut(shot, settings)
            continue
        run.append(shot)
        if shot.end_us - run[0].start_us >= settings.segment_s * 1e6:
            pieces.append(_whole(run))
            run = []
    if run:
        pieces.append(_whole(run))
    return tuple(
        Segment(
            video=video,
            segment_index=i,
            n_segments=len(pieces),
            shots=piece.shots,
            first_frame=piece.first_frame,
            n_frames=piece.n_frames,
            warmup_frames=piece.warmup_frames,
            lookahead_frames=piece.lookahead_frames,
        )
        for i, piece in enumerate(pieces)
    )


def _whole(run: list[Shot]) -> _Piece:
    return _Piece(shots=tuple(run), first_frame=run[0].first_frame, n_frames=run[-1].end_frame - run[0].first_frame)


def _cut(shot: Shot, settings: ShotSettings) -> list[_Piece]:
    """Equal pieces, at frame numbers counted from the shot's start."""
    wanted = round((shot.end_us - shot.start_us) / (settings.segment_s * 1e6))
    n_pieces = min(wanted, shot.n_frames)  # a slide shown for minutes may have fewer frames than segments
    offsets = [i * shot.n_frames // n_pieces for i in range(n_pieces + 1)]
    return [
        _Piece(
            shots=(shot,),
            first_frame=shot.first_frame + offset,
            n_frames=end - offset,
            warmup_frames=min(settings.overlap_frames, offset),
            lookahead_frames=min(settings.overlap_frames, shot.n_frames - end),
        )
        for offset, end in pairwise(offsets)
    ]
