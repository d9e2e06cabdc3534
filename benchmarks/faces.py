"""What each face finder finds, and in what time; what carrying faces between detections saves; and how still a quad is.

    OMP_NUM_THREADS=1 python -m benchmarks.faces [--weights FOLDER]

Reads real films from the folder shared beside the checkout. Every finder sees the same frames; seconds are of the
processor, one thread.
Detectors of face-alignment are measured without landmarks, since 2DFAN-4 takes 2 s a face on a CPU whichever detector
comes before it; dlib's rows hold its landmarks. Recall is of the faces that the reference finds: RetinaFace, the frame
as it is, score 0.9. A detector whose weights are not there is named.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from operators.faces.dlib_finder import DlibFinder
from operators.faces.fan_detectors import make_detector
from operators.faces.find_tracks import FindTracks
from operators.faces.suppress import overlap, without_doubles
from operators.models.model_file import model_file
from operators.video.encode import write_mp4
from schemas.clips import TrackClip
from schemas.embedded import MODELS
from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings
from schemas.video import Frame, Segment, Shot, Video

_SHARED = Path(__file__).resolve().parents[2] / "shared"
_FILMS = {  # film: frames looked at
    "talk_d0.mp4": (0, 35, 70),
    "talk_d3.mp4": (0, 45, 90),
    "talk_d12.mp4": (0, 45, 90),
    "talk_s13.mp4": (0, 50, 100),
    "talk_s18.mp4": (0, 45, 90),
    "street_multiface.mp4": (0, 50, 100),
    "trailer_two_people.mp4": (0, 60, 120),
}
_SAME_FACE = 0.3  # IoU from which on two finders mean the same face: their boxes differ in what they take in
_REFERENCE_SCORE = 0.9
_STILL_FRAMES = 50
_JITTER_TARGET = 0.003  # of the side

Boxes = list[NDArray[np.float64]]  # of each frame
Find = Callable[[NDArray[np.uint8]], Boxes]


def main() -> None:
    """Prints three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=str(_SHARED / "models"), help="folder of weights; nothing is fetched")
    os.environ[MODELS] = parser.parse_args().weights
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if not (_SHARED / "media").is_dir():
        print(f"{_SHARED} holds no media: there is nothing to look at")
        return
    print(describe_machine())
    _finders()
    _carrying()
    _stillness()


def _finders() -> None:
    frames = {name: _frames(name, wanted) for name, wanted in _FILMS.items()}
    reference_find = _network("retinaface", 4096, score_min=_REFERENCE_SCORE)
    reference = {name: [reference_find(frame) for frame in some] for name, some in frames.items()}
    small = sum(_width(box) < 80 for some in reference.values() for boxes in some for box in boxes)
    n_faces = sum(len(boxes) for some in reference.values() for boxes in some)
    n_frames = sum(map(len, frames.values()))
    print(f"\n{n_frames} frames of {len(frames)} films, {n_faces} faces, {small} of them below 80 px")
    print(f"{'finder':28} {'frames/s':>9} {'faces/s':>8} {'recall':>7} {'below 80 px':>12} {'others':>7}")
    for label, make in _rows().items():
        try:
            find = make()
        except WrongUse as err:
            print(f"{label:28} absent: {err}")
            continue
        found, large, tiny, others = 0, [0, 0], [0, 0], 0
        find(next(iter(frames.values()))[0])  # what is made at the first frame
        start_s = time.process_time()
        results = {name: [find(frame) for frame in some] for name, some in frames.items()}
        took_s = time.process_time() - start_s
        for name, some in results.items():
            for boxes, wanted in zip(some, reference[name], strict=True):
                found += len(boxes)
                for box in wanted:
                    hit = any(overlap(box, other)[0] > _SAME_FACE for other in boxes)
                    kind = tiny if _width(box) < 80 else large
                    kind[0] += hit
                    kind[1] += 1
                others += sum(all(overlap(box, other)[0] <= _SAME_FACE for other in wanted) for box in boxes)
        print(
            f"{label:28} {n_frames / took_s:9.2f} {found / took_s:8.2f} {(large[0] + tiny[0]) / n_faces:7.2f} "
            f"{tiny[0]:>5} of {tiny[1]:<3} {others:7d}",
            flush=True,
        )


def _rows() -> dict[str, Callable[[], Find]]:
    rows: dict[str, Callable[[], Find]] = {}
    for px in (640, 960, 1920):
        rows[f"dlib {px}"] = lambda px=px: _dlib(FaceSettings(detect_px=px))  # type: ignore[misc]
    for smallest in (60, 40):
        rows[f"dlib 960, smallest {smallest}"] = lambda s=smallest: _dlib(FaceSettings(smallest_px=s))  # type: ignore[misc]
    for name in ("blazeface", "retinaface", "yunet", "s3fd"):
        for px in (640, 1920) if name in ("retinaface", "yunet") else (960,):
            rows[f"{name} {px}"] = lambda name=name, px=px: _network(name, px)  # type: ignore[misc]
    return rows


def _dlib(settings: FaceSettings) -> Find:
    finder = DlibFinder(settings)
    return lambda rgb_HWC: [np.array(face.box) for face in finder([rgb_HWC])[0]]


def _network(name: str, detect_px: int, score_min: float = 0.0) -> Find:
    detector = make_detector(name, device="cpu", get_file=model_file)

    def find(rgb_HWC: NDArray[np.uint8]) -> Boxes:
        times = min(1.0, detect_px / max(rgb_HWC.shape))
        if times < 1:
            rgb_HWC = cv2.resize(rgb_HWC, None, fx=times, fy=times, interpolation=cv2.INTER_AREA)
        ((boxes_N4, scores_N),) = detector([rgb_HWC])
        kept = [i for i in without_doubles(boxes_N4, scores_N) if scores_N[i] >= score_min]
        return [(boxes_N4[i] + 0.5) / times - 0.5 for i in kept]

    return find


def _carrying() -> None:
    """With faces carried by optical flow between detections, and without: side by side, in turns."""
    print(f"\n{'film':22} {'every':>6} {'frames/s':>9} {'ratio':>6} {'faces':>6} {'off, % of side':>15} {'worst':>6}")
    for name in ("talk_d0.mp4", "talk_d12.mp4", "trailer_two_people.mp4"):
        frames = _frames(name, tuple(range(50)))
        runs = {every: _tracked_fps(frames, FaceSettings(supersample=1, detect_every=every)) for every in (1, 5)}
        base_fps, base = runs[1]
        for every, (fps, clips) in runs.items():
            apart = _apart(base, clips)
            print(
                f"{name:22} {every:6d} {fps:9.1f} {fps / base_fps:6.2f} {sum(c.track.n_frames for c in clips):6d} "
                f"{100 * float(np.mean(apart)):15.2f} {100 * float(np.max(apart)):6.2f}",
                flush=True,
            )


def _tracked_fps(frames: Sequence[NDArray[np.uint8]], settings: FaceSettings) -> tuple[float, list[TrackClip]]:
    find_tracks = FindTracks(DlibFinder(settings), settings, crop_px=128)
    segment = _segment(frames)
    find_tracks(segment, lambda: _as_film(frames))  # what is made at the first frame
    seconds = []
    for _ in range(2):
        start_s = time.process_time()
        clips = find_tracks(segment, lambda: _as_film(frames)).clips
        seconds.append(time.process_time() - start_s)
    return len(frames) / statistics.median(seconds), clips


def _apart(base: Sequence[TrackClip], clips: Sequence[TrackClip]) -> NDArray[np.float64]:
    """Mean distance of a frame's corners, over the side, each track to the nearest of the base."""
    distances = [0.0]
    for clip in clips:
        index, quad_T42 = clip.track.frame_index, clip.track.quad_T42
        to_each = []
        for other in base:
            both, here, there = np.intersect1d(index, other.track.frame_index, return_indices=True)
            if both.size:
                side = np.linalg.norm(other.track.quad_T42[there, 1] - other.track.quad_T42[there, 0], axis=1)
                off = np.linalg.norm(quad_T42[here] - other.track.quad_T42[there], axis=2).mean(axis=1)
                to_each.append(off / side)
        distances += min(to_each, key=np.mean).tolist() if to_each else []
    return np.array(distances)


def _stillness() -> None:
    """One frame over and over, with the noise of a sensor, coded as H.264 and decoded."""
    print(f"\nquad of a still face, standard deviation of its corners in % of its side; target {100 * _JITTER_TARGET}")
    print(f"{'frame of':22} {'as found':>9} {'smoothed':>9}")
    for name in ("talk_d0.mp4", "talk_d3.mp4", "talk_s13.mp4", "talk_s18.mp4"):
        (frame,) = _frames(name, (0,))
        frames = _coded(frame)
        jitters = []
        for unsmoothed in ({"smooth_s": 0, "quad_smooth_s": 0}, {}):
            settings = FaceSettings(supersample=1).model_copy(update=unsmoothed)
            find_tracks = FindTracks(DlibFinder(settings), settings, crop_px=64)
            clips = find_tracks(_segment(frames), lambda frames=frames: _as_film(frames)).clips  # type: ignore[misc]
            quad_T42 = max(clips, key=lambda clip: clip.track.n_frames).track.quad_T42
            side = np.linalg.norm(quad_T42[:, 1] - quad_T42[:, 0], axis=1).mean()
            jitters.append(float(quad_T42.std(axis=0).mean() / side))
        verdict = "" if jitters[-1] < _JITTER_TARGET else "  above the target"
        print(f"{name:22} {100 * jitters[0]:9.3f} {100 * jitters[1]:9.3f}{verdict}", flush=True)


def _coded(rgb_HWC: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    noisy = (np.clip(rgb_HWC + rng.normal(0, 3, rgb_HWC.shape), 0, 255).astype(np.uint8) for _ in range(_STILL_FRAMES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "still.mp4"
        write_mp4(path, noisy, fps=Fraction(25), crf=23)
        with av.open(str(path)) as film:
            return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in film.decode(video=0)]


def _frames(name: str, wanted: tuple[int, ...]) -> list[NDArray[np.uint8]]:
    with av.open(str(_SHARED / "media" / name)) as film:
        some = islice(film.decode(video=0), max(wanted) + 1)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for i, frame in enumerate(some) if i in wanted]


def _segment(frames: Sequence[NDArray[np.uint8]]) -> Segment:
    height, width, _ = frames[0].shape
    pts_us = 40_000 * np.arange(len(frames), dtype=np.int64)
    video = Video(
        video_id="v",
        uri="v",
        bytes=1,
        codec="h264",
        fps=25.0,
        width=width,
        height=height,
        decoder="pyav",
        pts_us=pts_us,
    )
    shot = Shot(shot_index=0, first_frame=0, n_frames=len(frames), start_us=0, end_us=40_000 * len(frames))
    return Segment(
        video=video,
        segment_index=0,
        n_segments=1,
        shots=(shot,),
        first_frame=0,
        n_frames=len(frames),
        warmup_frames=0,
        lookahead_frames=0,
    )


def _as_film(frames: Sequence[NDArray[np.uint8]]) -> list[Frame]:
    return [Frame(frame_index=i, pts_us=40_000 * i, rgb_HWC=rgb_HWC) for i, rgb_HWC in enumerate(frames)]


def _width(box_4: NDArray[np.float64]) -> float:
    return float(box_4[2] - box_4[0])


if __name__ == "__main__":
    main()
