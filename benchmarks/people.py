"""How well people are told apart, at which threshold, and how long it takes where many are known.

    python -m benchmarks.people [quality] [speed] [--films FOLDER]

quality: clips that each show one person are cut into shots of 1.5 s, and tracks found there as `latentreel invert`
finds them; and puppet movies, four actors each. Purity: tracks that are of the majority of their id; recall: tracks
that are in the largest part of their true person; people: ids found, of those there are.
FOLDER has a file people.json: {"clip.mp4": "who"}; without it, only puppets are told apart.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import dlib
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from benchmarks.machine import describe_machine
from operators.faces.dlib_finder import DlibFinder
from operators.faces.find_tracks import FindTracks
from operators.faces.identity import IdentityReader
from operators.faces.people import NOBODY, NewTracks, People, nearest, tell_apart
from operators.puppets.movie import movie_frames, movie_truth
from operators.puppets.random_script import random_script
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment, Shot, Video

Floats = NDArray[np.float32]
SHOT_S = 1.5
N_MOVIES, MOVIE_S = 2, 24.0  # a minute each
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
N_ORDERS, N_CALLS = 12, 8


def main() -> None:
    """Prints one table after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["quality", "speed"])
    parser.add_argument("--films", type=Path)
    arguments = parser.parse_args()
    print(describe_machine())
    if "quality" in arguments.parts:
        if arguments.films:
            quality("films", *of_films(arguments.films))
        quality("puppets", *of_puppets())
    if "speed" in arguments.parts:
        speed()


def of_films(folder: Path) -> tuple[NewTracks, list[str]]:
    """Tracks, and who each of them shows."""
    tracks, who = [], []
    for name, person in json.loads((folder / "people.json").read_text()).items():
        with av.open(folder / name) as film:
            frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
            fps = float(film.streams.video[0].average_rate or 25)
        edges = [*range(0, len(frames), round(SHOT_S * fps)), len(frames)]
        if edges[-1] - edges[-2] < round(0.5 * fps):
            del edges[-2]
        found = tracks_of(name, frames, fps, list(pairwise(edges)))
        longest = {shot: max(length for other, length, *_ in found if other == shot) for shot, *_ in found}
        found = [track for track in found if track[1] == longest[track[0]]]  # the others are no faces, or his shadow
        tracks += found
        who += [person] * len(found)
    return as_new(tracks), who


def of_puppets() -> tuple[NewTracks, list[str]]:
    """The same of drawn actors."""
    tracks, who = [], []
    for seed in range(N_MOVIES):
        script = random_script(seed=seed, seconds=MOVIE_S)
        shots = [(shot.first_frame, shot.end_frame) for shot in script.shots]
        found = tracks_of(f"puppets{seed}", list(movie_frames(script, supersample=1)), script.fps, shots)
        truth = [row for row in movie_truth(script).to_pylist() if row["actor"] is not None]
        for track in found:
            here = [row for row in truth if row["frame_index"] == track[3]]
            noses = np.array([row["landmarks"][60:62] for row in here])
            actor = here[int(np.hypot(*(noses - track[4]).T).argmin())]["actor"]
            tracks.append(track)
            who.append(f"{seed}/{actor}")
    return as_new(tracks), who


Found = tuple[int, int, Floats, int, Floats]  # shot, frames, identity, first frame, nose there


def tracks_of(name: str, frames: list[NDArray[np.uint8]], fps: float, edges: list[tuple[int, int]]) -> list[Found]:
    """As `latentreel invert` finds them."""
    pts_us = (np.arange(len(frames)) * 1_000_000 / fps).astype(np.int64)
    end_us = [*pts_us.tolist(), int(pts_us[-1] + 1_000_000 / fps)]
    height, width = frames[0].shape[:2]
    video = Video(
        video_id=name,
        uri=name,
        bytes=0,
        codec="none",
        fps=fps,
        width=width,
        height=height,
        decoder="pyav",
        pts_us=pts_us,
    )
    shots = tuple(
        Shot(shot_index=i, first_frame=a, n_frames=b - a, start_us=end_us[a], end_us=end_us[b])
        for i, (a, b) in enumerate(edges)
    )
    whole = Segment(video=video, segment_index=0, n_segments=1, shots=shots, first_frame=0, n_frames=len(frames))
    rows = [Frame(frame_index=i, pts_us=int(pts_us[i]), rgb_HWC=rgb) for i, rgb in enumerate(frames)]
    settings = FaceSettings(supersample=1)
    find = FindTracks(DlibFinder(settings), settings, crop_px=16, identity=IdentityReader())
    found = [clip.track for clip in find(whole, lambda: iter(rows)).clips]
    return [
        (t.key.shot_index, t.n_frames, t.identity_128, int(t.frame_index[0]), t.face_points[0, 30])
        for t in found
        if t.identity_128 is not None and t.landmarks_T682 is not None
    ]


def as_new(tracks: list[Found]) -> NewTracks:
    """Named by their number."""
    return NewTracks(
        track_ids=[f"{i:06d}" for i in range(len(tracks))],
        identity_N128=np.stack([identity_128 for _, _, identity_128, *_ in tracks]),
        n_frames_N=np.array([n for _, n, *_ in tracks], np.int64),
    )


def quality(title: str, new: NewTracks, who: list[str]) -> None:
    """Purity, recall and number of people at each threshold, for each way to tell them apart."""
    true_N = np.unique(who, return_inverse=True)[1]
    x_N128, n = new.identity_N128, len(new)
    apart_NN = np.linalg.norm(x_N128[:, None] - x_N128[None], axis=2)[np.triu_indices(n, 1)]
    same_NN = (true_N[:, None] == true_N[None])[np.triu_indices(n, 1)]
    print(f"\n{title}: {n} tracks of {len(set(who))} people, {np.median(new.n_frames_N):.0f} frames in the middle")
    for what, some in (("one person", apart_NN[same_NN]), ("two people", apart_NN[~same_NN])):
        marks = " ".join(f"{v:.2f}" for v in np.quantile(some, (0, 0.05, 0.5, 0.95, 1)))
        print(f"distances of tracks of {what}, least, 5 %, middle, 95 %, most: {marks}")

    vectors = [dlib.vector(x_128.tolist()) for x_128 in x_N128]
    ways: dict[str, Callable[[float], list[tuple[float, float, int]]]] = {
        "all at once": lambda t: [score(tell_apart(NOBODY, new, t)[1], true_N)],
        f"in {N_CALLS} calls": lambda t: [score(in_calls(new, t, seed), true_N) for seed in range(N_ORDERS)],
        "the longest first": lambda t: [score(longest_first(new, t), true_N)],
        "average linkage": lambda t: [score(fcluster(linkage(x_N128, "average"), t, "distance"), true_N)],
        "complete linkage": lambda t: [score(fcluster(linkage(x_N128, "complete"), t, "distance"), true_N)],
        "Chinese whispers": lambda t: [score(dlib.chinese_whispers_clustering(vectors, t), true_N)],
    }
    print("| purity / recall / people | " + " | ".join(f"{t:g}" for t in THRESHOLDS) + " |")
    for name, way in ways.items():
        cells = [np.mean(way(t), axis=0) for t in THRESHOLDS]
        print(f"| {name} | " + " | ".join(f"{p:.3f} / {r:.3f} / {k:.3g}" for p, r, k in cells) + " |")


def score(found: object, true_N: NDArray[np.intp]) -> tuple[float, float, int]:
    """Purity, recall, people."""
    found_N = np.unique(np.asarray(found), return_inverse=True)[1]

    def largest(parts_N: NDArray[np.intp], wholes_N: NDArray[np.intp]) -> int:
        return sum(int(np.bincount(parts_N[wholes_N == whole]).max()) for whole in np.unique(wholes_N))

    n = len(true_N)
    return largest(true_N, found_N) / n, largest(found_N, true_N) / n, len(np.unique(found_N))


def in_calls(new: NewTracks, threshold: float, seed: int) -> list[str]:
    """The tracks dealt out by chance, as films that come one after the other."""
    known, names = NOBODY, [""] * len(new)
    for some in np.array_split(np.random.default_rng(seed).permutation(len(new)), N_CALLS):
        part = NewTracks(
            track_ids=[new.track_ids[i] for i in some],
            identity_N128=new.identity_N128[some],
            n_frames_N=new.n_frames_N[some],
        )
        known, found = tell_apart(known, part, threshold)
        for i, name in zip(some, found, strict=True):
            names[i] = name
    return names


def longest_first(new: NewTracks, threshold: float) -> list[str]:
    """Each track joins the nearest person that is near enough, or is a new one."""
    names = [""] * len(new)
    known = NOBODY
    for i in np.argsort(-new.n_frames_N, kind="stable"):
        one = NewTracks(
            track_ids=[new.track_ids[i]], identity_N128=new.identity_N128[[i]], n_frames_N=new.n_frames_N[[i]]
        )
        known, (names[i],) = tell_apart(known, one, threshold)
    return names


def speed() -> None:
    """10,000 new tracks, half of people known already, among 100,000 who are."""
    random = np.random.default_rng(0)
    n_known, n_new = 100_000, 10_000
    centre_P128 = random.normal(0, 0.06, (n_known + n_new // 4, 128)).astype(np.float32)
    known = People(
        person_ids=[f"p{i}" for i in range(n_known)],
        identity_P128=centre_P128[:n_known],
        n_tracks_P=np.ones(n_known, np.int64),
        n_frames_P=np.full(n_known, 50, np.int64),
    )
    who = np.concatenate(
        [random.integers(0, n_known, n_new // 2), random.integers(n_known, len(centre_P128), n_new // 2)]
    )
    identity_N128 = (centre_P128[who] + random.normal(0, 0.015, (n_new, 128))).astype(np.float32)
    new = NewTracks(
        track_ids=[f"{i:06d}" for i in range(n_new)],
        identity_N128=identity_N128,
        n_frames_N=random.integers(10, 300, n_new),
    )
    start = time.process_time()  # of the processor: a busy machine is not our fault
    nearest(known.identity_P128, identity_N128)
    compared_s = time.process_time() - start
    start = time.process_time()
    after, _ = tell_apart(known, new, 0.4)
    took_s = time.process_time() - start
    print(f"\n{n_new} tracks among {n_known} people: {took_s:.1f} s, comparing them one by one {compared_s:.1f} s")
    print(f"{len(after) - n_known} new people, {len(set(who[n_new // 2 :].tolist()))} in truth")


if __name__ == "__main__":
    main()
