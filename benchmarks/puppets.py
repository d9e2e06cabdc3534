"""The rendered faces and the weights that learnt from them, measured on people whom nobody has trained or tuned on.

    OMP_NUM_THREADS=1 python -m benchmarks.puppets [faces] [inversion] [expressions] [samples]

faces: how well dlib reads 200 faces of 160 px, |yaw| < 30, |pitch| and |roll| < 18 degrees; the error is over the
distance of the outer eye corners. inversion: PSNR of 32 aligned crops. expressions: frames of two movies of 20 s, found
by dlib and followed as `latentreel invert` does it. samples: a grid of generated faces. Pictures go to --out. Without a
name all four are measured, in some twelve minutes on one core; targets stand in brackets.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.machine import describe_machine
from benchmarks.puppet_clips import movie_clips, stills, true_face
from operators.emotion.confusion import confusion_matrix, confusion_png
from operators.emotion.onnx_emotion import OnnxEmotion
from operators.faces.dlib_finder import DlibFinder
from operators.inversion.inverter import make_inverter
from operators.puppets.face import draw_aligned_crop, draw_face
from operators.puppets.parameters import FaceParameters
from operators.puppets.sampling import random_faces
from operators.stylegan.checkpoint import load_generator
from operators.stylegan.training.objective import GRID, pictures
from operators.stylegan.training.pictures import write_grid
from schemas.config import EmotionSettings, InversionSettings
from schemas.emotions import EMOTIONS
from schemas.face_settings import FaceSettings

N_FACES, N_CROPS, MOVIE_S = 200, 32, 20.0
SEED = 990_001  # of no other use in the repository: labels were adjusted and weights trained on others
MOVIE_SEEDS = (990_002, 990_003)
PX = 160
GROUPS = ((0, 10), (10, 20), (20, 30))
STEPS_AFTER = 50


def faces() -> None:
    """One row for all faces, one per range of yaw, and the times."""
    find = DlibFinder(FaceSettings(min_score=0.0))  # 0: dlib's own threshold
    yaws, errors = [], []
    for parameters in _natural(N_FACES):
        rgb_HWC, truth = draw_face(parameters, px=PX)
        true_682 = truth.landmarks_682
        yaws.append(abs(parameters.pose.yaw))
        (found,) = find([rgb_HWC])
        apart_68 = np.linalg.norm(found[0].landmarks_682 - true_682, axis=1) if found else np.full(68, np.nan)
        errors.append(apart_68 / np.linalg.norm(true_682[45] - true_682[36]))
    yaw_N, error_N68 = np.array(yaws), np.stack(errors)
    print("| yaw, degrees | faces | found (97 %) | mean error (6 %) | median | inner 51 points (4.5 %) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for low, high in ((0, 30), *GROUPS):
        chosen_N68 = error_N68[(yaw_N >= low) & (yaw_N < high)]
        seen_N68 = chosen_N68[~np.isnan(chosen_N68[:, 0])]
        all_N, inner_N = 100 * seen_N68.mean(axis=1), 100 * seen_N68[:, 17:].mean(axis=1)
        print(
            f"| {low} to {high} | {len(chosen_N68)} | {100 * len(seen_N68) / len(chosen_N68):.1f} % "
            f"| {all_N.mean():.2f} % | {np.median(all_N):.2f} % | {inner_N.mean():.2f} % |"
        )
    for name, draw, px in (("portrait", draw_face, PX), ("aligned crop", draw_aligned_crop, 128)):
        times_ms = []
        for parameters in random_faces(SEED, 15):
            start = time.process_time()
            draw(parameters, px=px)
            times_ms.append(1000 * (time.process_time() - start))
        print(f"{name}, {px} px: {statistics.median(times_ms):.0f} ms of one core")


def inversion(generator_name: str, encoder: str, out: Path) -> None:
    """Naive from the mean, the encoder's guess, and a short descent from it: the same 32 crops."""
    generator = load_generator(generator_name)
    clip = stills(random_faces(SEED, N_CROPS), px=generator.resolution)
    ways = {
        "naive, 300 steps (29.5 dB)": InversionSettings(method="naive", encoder="none", first_steps=300),
        # the first evaluation looks where the guess is: rounded and measured as every latent is
        "encoder alone (24 dB)": InversionSettings(method="naive", encoder=encoder, encoder_steps=1),
        f"encoder and {STEPS_AFTER} steps (28 dB)": InversionSettings(
            method="naive", encoder=encoder, encoder_steps=STEPS_AFTER
        ),
    }
    print("| way | median PSNR, dB | lowest | highest | ms a face, one core |")
    print("| --- | --- | --- | --- | --- |")
    shown = [clip.crops_TRRC[:GRID]]
    for name, settings in ways.items():
        start = time.process_time()
        (found,) = make_inverter(generator, settings)([clip])
        spent_ms = 1000 * (time.process_time() - start) / N_CROPS
        low, middle, high = np.quantile(found.psnr, (0, 0.5, 1))
        print(f"| {name} | {middle:.2f} | {low:.2f} | {high:.2f} | {spent_ms:.0f} |")
        with torch.no_grad():
            x_N3RR = generator.synthesis(torch.from_numpy(found.w_TLD[:GRID]))
        shown.append(((x_N3RR.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1).numpy())
    rows_N3RR = torch.from_numpy(np.concatenate(shown)).movedim(-1, 1).float() / 127.5 - 1
    write_grid(rows_N3RR, out / "inversion.png", columns=GRID)
    print(f"{out / 'inversion.png'}: the crops, then one row for each way")


def expressions(model: str, out: Path) -> None:
    """Frames of movies, found and followed by dlib, read and smoothed along the track."""
    read = OnnxEmotion(model, EmotionSettings())
    labels, said, intensity = [], [], []
    for seed in MOVIE_SEEDS:
        clips, truth = movie_clips(seed, seconds=MOVIE_S, px=128)
        for clip in clips:
            track = read(clip).track
            assert track.emotion_probs_T7 is not None
            for t, frame_index in enumerate(track.frame_index.tolist()):
                row = true_face(truth.get(frame_index, []), track.face_points[t])
                labels.append(row["emotion"])
                intensity.append(row["intensity"])
                said.append(int(track.emotion_probs_T7[t].argmax()))
    labels_N, said_N, strong_N = np.array(labels), np.array(said), np.array(intensity) > 0.5
    right_N = labels_N == said_N
    print(f"| frames | right where intensity is above 0.5 (90 %) | {' | '.join(EMOTIONS)} | all frames |")
    print(f"|{' --- |' * (len(EMOTIONS) + 3)}")
    each = [right_N[strong_N & (labels_N == i)] for i in range(len(EMOTIONS))]
    shares = " | ".join(f"{100 * part.mean():.0f} % of {len(part)}" if len(part) else "none" for part in each)
    print(f"| {len(right_N)} | {100 * right_N[strong_N].mean():.1f} % | {shares} | {100 * right_N.mean():.1f} % |")
    picture = out / "expressions.png"
    picture.write_bytes(confusion_png(confusion_matrix(labels_N[strong_N], said_N[strong_N])))
    print(f"{picture}: confusion of the {strong_N.sum()} frames above 0.5")


def samples(generator_name: str, out: Path) -> None:
    """Faces of random z, as wide as the generator's own average style allows."""
    generator = load_generator(generator_name)
    z_NZ = torch.randn(GRID * GRID, generator.z_dim, generator=torch.Generator().manual_seed(SEED))
    path = out / "samples.png"
    write_grid(pictures(generator, z_NZ, noise=False), path, columns=GRID)
    print(f"{path}: {GRID * GRID} faces of random z")


def _natural(n: int) -> list[FaceParameters]:
    """The first n random faces that are held naturally."""
    found = random_faces(SEED, 2 * n)
    return [f for f in found if abs(f.pose.yaw) < 30 and max(abs(f.pose.pitch), abs(f.pose.roll)) < 18][:n]


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="faces, inversion, expressions, samples; all when none is named")
    parser.add_argument("--generator", default="puppet-128")
    parser.add_argument("--encoder", default="puppet-128-encoder")
    parser.add_argument("--emotion", default="puppet-emotion")
    parser.add_argument("--out", type=Path, default=Path("build/puppets"), help="Folder of the pictures.")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], None]] = {
        "faces": faces,
        "inversion": lambda: inversion(args.generator, args.encoder, args.out),
        "expressions": lambda: expressions(args.emotion, args.out),
        "samples": lambda: samples(args.generator, args.out),
    }
    print(describe_machine())
    for name in args.parts or parts:
        print()
        parts[name]()


if __name__ == "__main__":
    main()
