"""FindTracks: real faces in real clips, and the rules about shots, warm-up, parts and lost frames on a small film."""

import json
from collections.abc import Iterable

import av
import numpy as np
import pytest
import skimage.data

from operators.faces.dlib_finder import DlibFinder
from operators.faces.find_tracks import FindTracks
from operators.faces.identity import IdentityReader
from schemas.clips import Dropped
from schemas.errors import BadInput
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment, Shot, Video

SETTINGS = FaceSettings(supersample=1)  # crops are looked at elsewhere; 4 would double the time of this file
FACE = np.ascontiguousarray(skimage.data.astronaut()[40:240, 120:330])  # 210 x 200, one face of 88 px


@pytest.fixture(scope="module")
def finder():
    return DlibFinder(SETTINGS)


def segment_of(pts_us, cuts=(), *, first_frame=0, n_frames=None, warmup_frames=0, lookahead_frames=0):
    """One segment over the whole film, or over a piece of its only shot."""
    pts_us = np.array(pts_us, np.int64)
    n = len(pts_us)
    ends = [*cuts, n]
    starts_us = [*(int(pts_us[c]) for c in [0, *cuts]), int(2 * pts_us[-1] - pts_us[-2])]
    shots = tuple(
        Shot(shot_index=k, first_frame=a, n_frames=b - a, start_us=starts_us[k], end_us=starts_us[k + 1])
        for k, (a, b) in enumerate(zip([0, *cuts], ends, strict=True))
    )
    video = Video(
        video_id="v",
        uri="film.mp4",
        bytes=1,
        codec="h264",
        fps=25.0,
        width=64,
        height=64,
        decoder="pyav",
        pts_us=pts_us,
    )
    return Segment(
        video=video,
        segment_index=0,
        n_segments=1,
        shots=shots,
        first_frame=first_frame,
        n_frames=n - first_frame if n_frames is None else n_frames,
        warmup_frames=warmup_frames,
        lookahead_frames=lookahead_frames,
    )


class Film:
    """A small film from marks: `#` shows the astronaut, moving a little, `.` nobody. Counts how often it is read."""

    def __init__(self, marks, segment=None):
        self.marks = marks
        self.segment = segment or segment_of(40_000 * np.arange(len(marks)))
        self.reads = 0

    def picture(self, i):
        return np.roll(FACE, i % 5, axis=1) if self.marks[i] == "#" else np.zeros_like(FACE)

    def __call__(self) -> Iterable[Frame]:
        self.reads += 1
        first = self.segment.decode_first
        for i in range(first, first + self.segment.decode_n):
            yield Frame(frame_index=i, pts_us=int(self.segment.video.pts_us[i]), rgb_HWC=self.picture(i))


def rows(clips):
    """(shot, track, part, first frame, warm-up frames, frames) of each clip."""
    return [
        (t.key.shot_index, t.key.track_index, t.key.part_index, int(t.frame_index[0]), t.warmup_frames, t.n_frames)
        for t in (clip.track for clip in clips)
    ]


def find(finder, film, settings=SETTINGS, crop_px=32):
    return FindTracks(finder, settings, crop_px=crop_px)(film.segment, film).clips


@pytest.mark.parametrize(
    ("marks", "cuts", "expected"),
    [
        pytest.param("#" * 20, (), [(0, 0, 0, 0, 0, 20)], id="one_shot"),
        pytest.param("#" * 20, (9,), [(0, 0, 0, 0, 0, 9), (1, 0, 0, 9, 0, 11)], id="never_across_a_cut"),
        pytest.param("#" * 10 + "." * 10, (), [(0, 0, 0, 0, 0, 10)], id="leaves"),
        pytest.param("#" * 8 + ".." + "#" * 8, (), [(0, 0, 0, 0, 0, 18)], id="blink"),
        pytest.param("#" * 8 + "." * 16 + "#" * 8, (), [(0, 0, 0, 0, 0, 8), (0, 1, 0, 24, 0, 8)], id="long_gap"),
        pytest.param("." * 5 + "###" + "." * 5, (), [], id="too_short"),
        pytest.param("." * 8, (), [], id="nobody"),
    ],
)
def test_tracks_of_a_small_film(finder, marks, cuts, expected):
    film = Film(marks, segment_of(40_000 * np.arange(len(marks)), cuts))
    clips = find(finder, film)
    assert rows(clips) == expected
    assert film.reads == (2 if expected else 1)  # without a track nothing is decoded twice
    for clip in clips:
        track = clip.track
        assert track.frame_index.tolist() == list(range(track.frame_index[0], track.frame_index[0] + track.n_frames))
        assert np.array_equal(track.pts_us, film.segment.video.pts_us[track.frame_index])
        filled = [film.marks[i] == "." for i in track.frame_index]
        assert np.array_equal(track.confidence == 0, filled)


class Counting:
    """A finder that counts how many frames it looked at."""

    def __init__(self, finder):
        self.finder, self.landmarks, self.frames_per_batch, self.n_frames = finder, finder.landmarks, 4, 0

    def __call__(self, frames):
        self.n_frames += len(frames)
        return self.finder(frames)


@pytest.mark.parametrize(
    ("marks", "cuts", "detect_every"),
    [
        pytest.param("." * 3 + "#" * 9 + "." * 6, (), 2, id="comes_and_goes_between_detections"),
        pytest.param("." * 3 + "#" * 14 + "." * 6, (), 12, id="comes_and_goes_between_distant_detections"),
        pytest.param("#" * 9 + "." * 10, (9,), 5, id="gone_with_a_cut"),
        pytest.param("." * 9 + "#" * 9, (9,), 5, id="there_with_a_cut"),
        pytest.param("#" * 9 + "." * 14 + "#" * 8, (), 5, id="long_gap"),
    ],
)
def test_carried_faces_are_seen_in_the_same_frames(finder, marks, cuts, detect_every):
    """Detections in some frames only; the others are carried, which shows in their confidence."""
    film = Film(marks, segment_of(40_000 * np.arange(len(marks)), cuts))
    counting = Counting(finder)
    clips = find(counting, film, SETTINGS.model_copy(update={"detect_every": detect_every}))
    everywhere = find(finder, film)
    assert rows(clips) == rows(everywhere)
    assert counting.n_frames < len(marks)
    for clip, full in zip(clips, everywhere, strict=True):
        assert np.all(clip.track.confidence > 0)
        carried = clip.track.confidence < 0.7 * full.track.confidence
        ends = {0, len(marks) - 1, *cuts, *(cut - 1 for cut in cuts)}
        detected = np.array([i % detect_every == 0 or i in ends for i in clip.track.frame_index.tolist()])
        assert np.array_equal(carried, ~detected)
        assert np.abs(clip.track.quad_T42 - full.track.quad_T42).max() < 2.5  # pixels, of 190


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        pytest.param("#" * 60, [(0, 0, 0, 18, 12, 32)], id="there_all_the_time"),
        pytest.param("." * 25 + "#" * 35, [(0, 0, 0, 25, 5, 25)], id="comes_in_the_warm_up"),
        pytest.param("#" * 29 + "." * 31, [], id="wholly_in_the_warm_up"),
        # 0.12 s at the end: too short for a track, but the shot goes on in the next segment
        pytest.param("." * 47 + "#" * 13, [(0, 0, 0, 47, 0, 3)], id="comes_just_before_the_end"),
    ],
)
def test_a_piece_of_a_long_shot(finder, marks, expected):
    segment = segment_of(40_000 * np.arange(60), first_frame=30, n_frames=20, warmup_frames=12)
    assert rows(find(finder, Film(marks, segment))) == expected


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        pytest.param("#" * 60, [(0, 0, 0, 0, 0, 30)], id="goes_on_behind"),
        pytest.param("." * 31 + "#" * 29, [], id="wholly_behind"),
        pytest.param("#" * 28 + "." * 5 + "#" * 27, [(0, 0, 0, 0, 0, 30)], id="a_gap_across_the_seam_is_filled"),
    ],
)
def test_a_piece_knows_how_the_face_goes_on(finder, marks, expected):
    segment = segment_of(40_000 * np.arange(60), n_frames=30, lookahead_frames=12)
    assert rows(find(finder, Film(marks, segment))) == expected


def test_a_long_track_is_cut_at_fixed_frames_and_overlaps(finder):
    """A clip of 1 MiB holds 28 crops of 111 px; less 8 of warm-up, a track is cut at multiples of 20."""
    settings = SETTINGS.model_copy(update={"clip_bytes_max": 2**20, "warmup_frames": 8})
    film = Film(".." + "#" * 58)
    clips = find(finder, film, settings, crop_px=111)
    assert rows(clips) == [(0, 0, 0, 2, 0, 18), (0, 0, 1, 12, 8, 28), (0, 0, 2, 32, 8, 28)]
    (whole,) = find(finder, film, crop_px=111)
    for clip in clips:
        here = slice(clip.track.frame_index[0] - 2, clip.track.frame_index[-1] - 1)
        assert clip.crops_TRRC.nbytes <= 2**20
        assert np.array_equal(clip.crops_TRRC, whole.crops_TRRC[here])
        assert np.array_equal(clip.track.quad_T42, whole.track.quad_T42[here])


def test_crops_show_the_face_and_not_its_motion(finder):
    """The face moves by up to 4 px; in the crops it stands, so they differ less than the frames do."""
    film = Film("#" * 20)
    (clip,) = find(finder, film, crop_px=64)
    frames = np.stack([film.picture(i)[60:160, 60:160] for i in range(20)])
    assert clip.crops_TRRC.std(axis=0).mean() < 0.7 * frames.std(axis=0).mean()
    eyes, mouth = clip.crops_TRRC[:, 26:34], clip.crops_TRRC[:, 42:50]
    assert eyes[:, :, [20, 43]].mean() < eyes[:, :, 31:33].mean()  # dark irises left and right of the nose's root
    assert mouth[..., 0].mean() > mouth[..., 2].mean() + 30  # skin and lips are red


def test_pieces_of_a_long_shot_agree_about_the_quads(finder):
    """What warm-up and look-ahead promise: the frames of two pieces show the same as the whole shot's."""
    marks = "#" * 56
    (whole,) = find(finder, Film(marks))
    pieces = [dict(first_frame=0, n_frames=28, lookahead_frames=12), dict(first_frame=28, warmup_frames=12)]
    for piece in pieces:
        (clip,) = find(finder, Film(marks, segment_of(40_000 * np.arange(56), **piece)))
        kept = clip.track.frame_index[clip.track.warmup_frames :]
        np.testing.assert_allclose(
            clip.track.quad_T42[clip.track.warmup_frames :], whole.track.quad_T42[kept], atol=0.05
        )


def test_faces_that_a_filter_left_out_are_counted(finder):
    film = Film("#" * 20 + "." * 5, segment_of(40_000 * np.arange(25), first_frame=5, n_frames=15, warmup_frames=5))
    found = FindTracks(finder, SETTINGS.model_copy(update={"min_face_px": 120}), crop_px=32)(film.segment, film)
    assert (found.clips, found.dropped) == ([], Dropped(small=15))
    assert film.reads == 1


def test_the_same_whoever_runs_it(finder):
    marks = "#" * 12 + "." * 3 + "#" * 9
    one, two = find(finder, Film(marks)), find(DlibFinder(SETTINGS), Film(marks))
    assert [clip.track.key for clip in one] == [clip.track.key for clip in two]
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.crops_TRRC, b.crops_TRRC)
        assert np.array_equal(a.track.landmarks_T682, b.track.landmarks_T682)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([0, 1, 2], id="one_missing_at_the_end"),
        pytest.param([0, 2, 3], id="one_missing_inside"),
        pytest.param([0, 1, 2, 3, 4], id="one_too_many"),
        pytest.param([], id="none"),
    ],
)
def test_frames_that_are_not_the_segments(finder, order):
    def read():
        return (Frame(frame_index=i, pts_us=40_000 * i, rgb_HWC=FACE) for i in order)

    with pytest.raises(BadInput, match=r"film.mp4: segment 0 gave \d of its 4 frames"):
        FindTracks(finder, SETTINGS, crop_px=32)(segment_of(40_000 * np.arange(4)), read)


def test_a_clip_must_hold_more_than_its_warm_up(finder):
    with pytest.raises(ValueError, match="holds 5 crops of 256 px, warm-up is 12; raise it to 2555904 or more"):
        FindTracks(finder, FaceSettings(clip_bytes_max=2**20), crop_px=256)


class Clip:
    """A real clip, decoded with PyAV as it stands; every second or third frame is enough, at a fraction of the time."""

    def __init__(self, path, cuts=(), *, every=1):
        self.path, self.every = str(path), every
        with av.open(self.path) as container:
            pts_us = [round((f.time or 0) * 1e6) for f in container.decode(video=0)]
        self.segment = segment_of(np.array(pts_us[::every]) - pts_us[0], [self.number(c) for c in cuts])

    def number(self, frame):
        """Of the first frame that is kept from there on."""
        return -(-frame // self.every)

    def __call__(self):
        with av.open(self.path) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i % self.every == 0:
                    k = i // self.every
                    rgb_HWC = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    yield Frame(frame_index=k, pts_us=int(self.segment.video.pts_us[k]), rgb_HWC=rgb_HWC)


def test_trailer_has_tracks_in_all_face_shots_and_in_no_other(finder, media):
    truth = json.loads((media / "trailer_cuts.json").read_text())
    film = Clip(media / "trailer_cuts.mp4", truth["cuts"], every=2)
    expected = []
    for shot in truth["segments"]:
        first, end = film.number(shot["first_frame"]), film.number(shot["last_frame"] + 1)
        expected += [(shot["index"], 0, 0, first, 0, end - first)] if shot["face"] else []
    assert rows(find(finder, film)) == expected
    assert len(expected) == 6


def test_two_people_are_two_tracks_that_never_swap(finder, media):
    left, right = find(finder, Clip(media / "trailer_two_people.mp4", every=3))
    assert left.track.n_frames == right.track.n_frames == 42
    assert left.track.landmarks_T682[..., 0].max() < 512 < right.track.landmarks_T682[..., 0].min()


def test_one_face_is_one_track_from_the_first_to_the_last_frame(finder, media):
    (clip,) = find(finder, Clip(media / "talk_d0.mp4", every=2), crop_px=64)
    assert (clip.track.frame_index[0], clip.track.n_frames) == (0, 39)
    assert np.all(clip.track.confidence > 0)
    centre_T2 = clip.track.quad_T42.mean(axis=1)
    assert np.linalg.norm(np.diff(centre_T2, axis=0), axis=1).max() < 8  # pixels of 512: a still camera, a calm head


@pytest.mark.slow
@pytest.mark.parametrize("detect_every", [1, 3])
@pytest.mark.parametrize(
    ("name", "n_frames", "seen_min"),
    [
        pytest.param("talk_d0", 78, 78, id="smile"),
        pytest.param("talk_d3", 354, 354, id="head_turns"),
        pytest.param("talk_d9", 587, 587, id="glasses"),
        pytest.param("talk_d10", 448, 448, id="long_hair"),
        pytest.param("talk_d12", 183, 180, id="motion_blur"),  # 98 %
        pytest.param("talk_s13", 103, 103, id="small_face"),
        pytest.param("talk_s18", 282, 282, id="moving_camera"),
    ],
)
def test_a_talking_head_is_one_track(finder, media, name, n_frames, seen_min, detect_every):
    film = Clip(media / f"{name}.mp4")
    settings = FaceSettings(supersample=1, detect_every=detect_every)
    (clip,) = FindTracks(finder, settings, crop_px=32, identity=IdentityReader())(film.segment, film).clips
    assert (clip.track.frame_index[0], clip.track.n_frames) == (0, n_frames)
    assert (clip.track.confidence > 0).sum() >= seen_min
