"""A film that is not whole, as far as it goes, and what is to be said of it."""

from dataclasses import replace

from schemas.video import DamageType, Video


def cut_short(video: Video, n_frames: int, damage_type: DamageType) -> Video:
    """The first `n_frames` of a film, at least one, which PyAV is to read: decord counts the frames behind them too."""
    kept = video.first(n_frames)
    used = "only the first frame was used" if n_frames == 1 else f"the first {n_frames} frames were used"
    damage = f"{_what(video, kept, damage_type)}; {used}"
    return replace(kept, decoder="pyav", damage=damage, damage_type=damage_type)


def _what(video: Video, kept: Video, damage_type: DamageType) -> str:
    if damage_type == "DamagedFrame":
        whole_s = video.promised_s or video.duration_s
        return f"the film is damaged at frame {kept.n_frames}, after {_of(kept.duration_s, whole_s)}"
    where = "the file ends" if damage_type == "EndsEarly" else "its index is damaged"
    if video.promised_s is None:
        return f"{where} after {kept.duration_s:.1f} s, and its header does not say how long the film was"
    return f"{where} after {_of(kept.duration_s, video.promised_s, 'the ')} that its header promises"


def _of(part_s: float, whole_s: float, the: str = "") -> str:
    """With as many digits as it takes to tell the two apart."""
    digits = 1 if abs(whole_s - part_s) >= 0.1 else 3
    return f"{part_s:.{digits}f} s of {the}{whole_s:.{digits}f} s"
