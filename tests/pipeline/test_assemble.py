"""From parts to tracks: what belongs together is one track, in order, whatever the parts were called."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.assemble import assemble_tracks, shot_rows, track_rows
from pipeline.staging import Cut, Staging
from pipeline.store import Store
from schemas.clips import PartKey
from tests import builders

VIDEO = "v" * 32


def _staged(path: Path, segments: list[list[dict]]) -> tuple[Staging, Cut]:
    """Stages one part per dict (first_frame, n_frames, and PartKey fields), segment by segment."""
    staging = Staging(Store(str(path)), "config", VIDEO)
    n_frames = 1
    for segment_index, parts in enumerate(segments):
        keys = []
        for given in parts:
            part = dict(given)
            first, n = part.pop("first"), part.pop("n")
            placing = {name: part.pop(name) for name in ("x", "warmup_frames", "emotion", "identity") if name in part}
            key = builders.part_key(segment=segment_index, **part)
            staging.write_part(builders.latent_clip(builders.face_track(first, n, key=key, **placing)))
            keys.append(key)
            n_frames = max(n_frames, first + n)
        staging.write_parts(segment_index, keys)
    shots = (builders.shot(0, n_frames),)
    cut = Cut(video=builders.video(n_frames), shots=shots, n_segments=len(segments))
    staging.write_cut(cut)
    return staging, cut


def _tracks(path: Path, segments: list[list[dict]]) -> list[tuple[str, int, int]]:
    staging, cut = _staged(path, segments)
    job, _ = builders.job(str(path))
    found = []
    for assembled in assemble_tracks(staging, cut, job):
        frame_index = assembled.frames["frame_index"].to_numpy()
        assert (np.diff(frame_index) == 1).all(), "a track's frames are in order and whole"
        assert set(assembled.frames["track_id"].to_pylist()) == {assembled.track["track_id"]}
        found.append((assembled.track["track_id"][33:], int(frame_index[0]), len(frame_index)))
    return found


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param([[dict(first=0, n=5)]], [("00000-000", 0, 5)], id="one_part"),
        pytest.param([[]], [], id="no_face"),
        pytest.param(
            [[dict(first=0, n=5), dict(first=5, n=5, part=1, warmup_frames=3)]],
            [("00000-000", 0, 10)],
            id="parts_of_one_track_and_the_warm_up_is_dropped",
        ),
        pytest.param(
            [[dict(first=0, n=5), dict(first=2, n=5, track=1, x=300)]],
            [("00000-000", 0, 5), ("00000-001", 2, 5)],
            id="two_faces",
        ),
        pytest.param(
            [[dict(first=0, n=5)], [dict(first=5, n=5, warmup_frames=3)]],
            [("00000-000", 0, 10)],
            id="a_long_shot_goes_on",
        ),
        pytest.param(
            [
                [dict(first=0, n=5, track=0), dict(first=0, n=5, track=1, x=300)],
                [dict(first=5, n=5, track=0, x=302), dict(first=5, n=5, track=1, x=98)],
            ],
            [("00000-000", 0, 10), ("00000-001", 0, 10)],
            id="faces_are_told_apart_at_the_seam",
        ),
        pytest.param(
            [[dict(first=0, n=5)], [dict(first=5, n=5, x=300)]],
            [("00000-000", 0, 5), ("00000-001", 5, 5)],
            id="another_face_is_another_track",
        ),
        pytest.param(
            [[dict(first=0, n=4)], [dict(first=5, n=5)]],
            [("00000-000", 0, 4), ("00000-001", 5, 5)],
            id="a_hole_at_the_seam_splits",
        ),
        pytest.param(
            [[dict(first=0, n=5, shot=0)], [dict(first=5, n=5, shot=1)]],
            [("00000-000", 0, 5), ("00001-000", 5, 5)],
            id="nothing_goes_on_across_a_cut",
        ),
    ],
)
def test_parts_become_tracks(tmp_path: Path, segments: list, expected: list) -> None:
    assert _tracks(tmp_path, segments) == expected


def test_a_track_row_sums_its_parts(tmp_path: Path) -> None:
    parts = [dict(first=0, n=4, emotion=3), dict(first=4, n=2, part=1, warmup_frames=2, emotion=6)]
    staging, cut = _staged(tmp_path, [parts])
    (assembled,) = assemble_tracks(staging, cut, builders.job(str(tmp_path))[0])
    row = assembled.track
    assert (row["first_frame"], row["n_frames"], row["start_us"], row["end_us"]) == (0, 6, 0, 5 * 41_667)
    assert (row["emotion"], row["emotion_counts"]) == (3, [0, 0, 0, 4, 0, 0, 2])
    assert row["flicker"] == pytest.approx(0.5)  # builders: change_error 1 over change 2
    assert (row["velocity"], row["acceleration"]) == pytest.approx((6, 8))  # 3 and 4 units, in half a second each
    assert row["psnr"] == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("identities", "expected"),
    [
        pytest.param((0.1, 0.4), 0.2, id="weighted_by_their_frames"),
        pytest.param((None, 0.4), 0.4, id="one_part_has_none"),
        pytest.param((None, None), None, id="none"),
    ],
)
def test_a_tracks_identity_is_the_mean_of_its_parts(tmp_path: Path, identities: tuple, expected: float | None) -> None:
    """Over four frames and two; the warm-up does not count."""
    of_parts = [{} if identity is None else {"identity": identity} for identity in identities]
    segments = [[dict(first=0, n=4, **of_parts[0])], [dict(first=4, n=2, warmup_frames=3, **of_parts[1])]]
    staging, cut = _staged(tmp_path, segments)
    (assembled,) = assemble_tracks(staging, cut, builders.job(str(tmp_path))[0])
    identity = track_rows([assembled.track])["identity"][0].as_py()
    assert identity == (None if expected is None else pytest.approx([expected] * 128))


def test_latents_come_back_bit_for_bit(tmp_path: Path) -> None:
    staging, cut = _staged(tmp_path, [[dict(first=7, n=3)]])
    (assembled,) = assemble_tracks(staging, cut, builders.job(str(tmp_path))[0])
    w_TLD = np.asarray(assembled.frames["w"].to_pylist(), np.float32).reshape(3, builders.NUM_WS, builders.W_DIM)
    expected = builders.latent_clip(builders.face_track(7, 3, key=builders.part_key()))
    np.testing.assert_array_equal(w_TLD, expected.w_TLD)


def test_a_cut_comes_back_from_staging(tmp_path: Path) -> None:
    staging, cut = _staged(tmp_path, [[dict(first=0, n=5)]])
    again = staging.read_cut()
    assert again is not None
    assert (again.shots, again.n_segments, repr(again.video)) == (cut.shots, cut.n_segments, repr(cut.video))
    np.testing.assert_array_equal(again.video.pts_us, cut.video.pts_us)
    assert shot_rows(staging, again).to_pylist()[0]["n_frames"] == 5


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        pytest.param(lambda path: None, [b"jpeg"], id="whole"),
        pytest.param(lambda path: path.unlink(), [None], id="gone"),
        pytest.param(lambda path: os.truncate(path, 60), [None], id="torn"),
    ],
)
def test_a_thumbnail_that_is_lost_is_null(tmp_path: Path, damage, found: list) -> None:
    staging, cut = _staged(tmp_path, [[dict(first=0, n=5)]])
    staging.write_thumbnails(0, {0: b"jpeg"})
    damage(tmp_path / staging.folder / "seg00000.thumbs.parquet")
    assert shot_rows(staging, cut)["thumbnail"].to_pylist() == found


def test_part_keys_round_trip() -> None:
    key = builders.part_key(segment=12, shot=3, track=45, part=6)
    assert PartKey.parse(key.video_id, str(key)) == key
