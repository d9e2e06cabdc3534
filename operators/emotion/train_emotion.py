"""Train the expression network on labelled faces; write it as ONNX with its manifest, and how well it reads.

N faces of a batch, C channels, S = 64 side in pixels.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.emotion.confusion import confusion_csv, confusion_matrix, confusion_png
from operators.emotion.export_onnx import export_onnx
from operators.emotion.expression_net import ExpressionNet
from operators.emotion.labelled_faces import LabelledFaces
from operators.training.degrade import degrade, recolour
from operators.training.run_folder import Checkpoint, RunFolder, require_finite
from operators.training.settings import require_within
from operators.training.step_source import step_source
from operators.training.write_file import write_file
from schemas.emotions import EMOTIONS, N_EMOTIONS
from schemas.errors import WrongUse

MODEL_FILE, CONFUSION = "emotion.onnx", "confusion"
_FACES_PER_PASS = 256  # in validation: 4 MB of input
_WARM_SHARE = 0.05  # of the steps in which the rate rises


@dataclass(frozen=True, kw_only=True)
class EmotionTraining:
    """All that changes the weights that come out, but for the faces."""

    steps: int = 3000  # 192,000 faces: eight minutes on one core, which does 400 a second
    batch: int = 64  # nine of each expression, so that every step hears of all seven
    learning_rate: float = 2e-3  # of AdamW, falling to 0; batch normalisation bears it
    weight_decay: float = 0.02  # 200,000 weights could learn a few thousand faces by heart
    label_smoothing: float = 0.1  # half an expression is labelled like a whole one, so certainty would be wrong
    seed: int = 0
    grey: bool = True  # colour says more of the film than of the face
    turn_max_deg: float = 10.0  # landmarks of a face in a crop err by that
    zoom: float = 0.12  # sides from 1/1.12 to 1.12: boxes follow the landmarks' extent, which an open mouth changes
    shift_max: float = 0.06  # of the side, for the same reason
    colour: float = 0.35  # films are darker, flatter and more tinted than training faces
    degrade: float = 1.5  # faces of 30 px enlarged to 64 are blurred, and compressed before
    validation_share: float = 0.15  # of the persons, or of the faces where nobody is named
    every: int = 100  # steps between checkpoints: what a kill costs, some seconds

    def __post_init__(self) -> None:
        require_within(self, 1, 10**7, "steps", "batch", "every")
        require_within(self, 0, 1, "label_smoothing", "zoom", "shift_max", "colour", "weight_decay")
        require_within(self, 0, 0.9, "validation_share")
        require_within(self, 0, 180, "turn_max_deg")
        require_within(self, 0, math.inf, "learning_rate", "seed", "degrade")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What was held out, and how it was read. Strong: intensity above 0.5, or neutral."""

    counts: NDArray[np.int64]  # (7, 7), label by reading
    accuracy: float
    strong_accuracy: float
    n_train: int
    n_held_out: int


def train_emotion(
    faces: LabelledFaces,
    settings: EmotionTraining,
    folder: Path,
    *,
    crop_margin: float = 0.0,
    device: str = "cpu",
    report: Callable[[dict[str, float]], None] = lambda row: None,
) -> Reading:
    """Train to the last step, then write `emotion.onnx`, its manifest `emotion.json` and the confusion matrix; goes on
    from the folder's checkpoint where there is one.

    Takes: `crop_margin` with which the faces were cut: 1 + margin times the longer side that OnnxEmotion cuts.
    Gives: how the held-out faces are read: persons never trained on where persons are named.
    Raises: WrongUse when the folder holds a run with other settings or faces, or too few faces are left to train on.
    Not promised: equal bits on another device, with another number of threads, or on any GPU.
    """
    held = _held_out(faces, settings)
    files = RunFolder(folder, {**asdict(settings), "faces": faces.digest(), "crop_margin": crop_margin})
    everything_NCSS, labels = _pictures(faces, settings, device), torch.from_numpy(faces.labels).to(device)
    chances = torch.from_numpy(_chances(faces, ~held)).to(device)
    held_NCSS = everything_NCSS[torch.from_numpy(held).to(device)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        net = ExpressionNet(everything_NCSS.shape[1]).to(device)
    adam = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    done = files.load()
    if done.step:
        net.load_state_dict(done.state["net"])
        adam.load_state_dict(done.state["adam"])
    curve, loss_sum = list(done.curve), torch.zeros(())
    for step in range(done.step, settings.steps):
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings.steps)
        source = step_source("emotion", settings.seed, step, device)
        index = torch.multinomial(chances, settings.batch, replacement=True, generator=source)
        logits = net.train()(_augment(everything_NCSS[index], source, settings))
        loss = F.cross_entropy(logits, labels[index], label_smoothing=settings.label_smoothing)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        loss_sum = loss_sum + loss.detach()
        if (step + 1) % settings.every == 0 or step + 1 == settings.steps:
            row = {"step": step + 1.0, "loss": float(loss_sum) / (step % settings.every + 1)}
            require_finite(row, folder)
            curve.append(row | {"held_out_accuracy": float((_read(net, held_NCSS) == faces.labels[held]).mean())})
            loss_sum = torch.zeros(())
            files.save(
                Checkpoint(step=step + 1, state={"net": net.state_dict(), "adam": adam.state_dict()}, curve=curve)
            )
            report(curve[-1])
    net.cpu().eval().requires_grad_(False)
    reading = _judge(faces, held, _read(net, held_NCSS.cpu()))
    write_file(folder / f"{CONFUSION}.csv", confusion_csv(reading.counts))
    write_file(folder / f"{CONFUSION}.png", confusion_png(reading.counts))
    export_onnx(net, folder / MODEL_FILE, crop_margin=crop_margin)
    return reading


def _judge(faces: LabelledFaces, held: NDArray[np.bool_], read: NDArray[np.int64]) -> Reading:
    labels, right = faces.labels[held], read == faces.labels[held]
    strong = (faces.intensity[held] > 0.5) | (labels == EMOTIONS.index("neutral"))
    return Reading(
        counts=confusion_matrix(labels, read),
        accuracy=float(right.mean()),
        strong_accuracy=float(right[strong].mean()) if strong.any() else math.nan,
        n_train=int((~held).sum()),
        n_held_out=int(held.sum()),
    )


def _held_out(faces: LabelledFaces, settings: EmotionTraining) -> NDArray[np.bool_]:
    """Which faces are for validation: whole persons where they are named, since a face seen before is easy."""
    n = len(faces.labels)
    groups = np.arange(n) if faces.identity is None else np.unique(faces.identity, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    n_held = max(1, round(settings.validation_share * n_groups))
    order = np.random.default_rng(settings.seed).permutation(n_groups)
    held: NDArray[np.bool_] = np.isin(groups, order[:n_held])
    if len(np.unique(faces.labels[~held])) < 2:
        what = "faces" if faces.identity is None else "persons"
        raise WrongUse(f"{n_groups} {what}: too few to train on two expressions and hold {n_held} out; give more")
    return held


def _chances(faces: LabelledFaces, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How often each face is drawn: every expression alike, within it the stronger the more often."""
    chances = np.where(used, faces.intensity, 0).astype(np.float64)
    chances[used & (faces.labels == EMOTIONS.index("neutral"))] = 1
    totals = np.bincount(faces.labels, weights=chances, minlength=N_EMOTIONS)
    return chances / np.maximum(totals, 1e-12)[faces.labels]


def _pictures(faces: LabelledFaces, settings: EmotionTraining, device: str) -> Tensor:
    """(N, C, 64, 64) uint8. A whole set of 100,000 grey faces is 400 MB."""
    pictures = faces.faces_NSSC
    if settings.grey and faces.channels == 3:
        # ITU-R BT.601, in whole numbers as PIL rounds them, which is what OnnxEmotion feeds the network
        weights = np.array([19595, 38470, 7471], np.uint32)
        pictures = ((pictures.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, 1))).to(device)


def _augment(faces_NCSS: Tensor, source: torch.Generator, settings: EmotionTraining) -> Tensor:
    """Turned, zoomed, shifted and mirrored; recoloured; degraded. Gives: [-1, 1]."""
    x, n, device = faces_NCSS.float() / 127.5 - 1, len(faces_NCSS), faces_NCSS.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=source, device=device) * 2 - 1

    angle, zoom = draw() * math.radians(settings.turn_max_deg), (1 + settings.zoom) ** draw()
    mirror = torch.where(draw() < 0, -1.0, 1.0)
    move = torch.zeros(n, 2, 3, device=device)
    move[:, 0, 0], move[:, 0, 1] = zoom * angle.cos() * mirror, -zoom * angle.sin()
    move[:, 1, 0], move[:, 1, 1] = zoom * angle.sin() * mirror, zoom * angle.cos()
    move[:, :, 2] = draw(2) * 2 * settings.shift_max
    grid = F.affine_grid(move, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return degrade(recolour(x, source, strength=settings.colour), source, strength=settings.degrade)


@torch.no_grad()
def _read(net: ExpressionNet, faces_NCSS: Tensor) -> NDArray[np.int64]:
    net.eval()
    ids = [net(x.float() / 127.5 - 1).argmax(dim=1) for x in torch.split(faces_NCSS, _FACES_PER_PASS)]
    return torch.cat(ids).cpu().numpy().astype(np.int64)


def _rate(step: int, steps: int) -> float:
    """Linear rise, cosine fall to zero."""
    rise = min(1.0, (step + 1) / max(1.0, _WARM_SHARE * steps))
    return rise * (0.5 + 0.5 * math.cos(math.pi * step / steps))
