"""The configuration of a dataset: validated, frozen, one YAML file or flags. Unknown keys are errors.

Everything here can change a row, so everything here is hashed into `config_id`. How fast a job runs (workers, devices,
batches) is not configuration: it may not change the result. The reason for each default stands beside it.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from schemas.errors import WrongUse
from schemas.face_settings import FaceSettings
from schemas.frozen_settings import FrozenSettings as _Settings
from schemas.shot_settings import ShotSettings

InitMethod = Literal["mean", "encoder"]


class LossSettings(_Settings):
    """What makes a picture a good one. Pictures are in [-1, 1]."""

    # auto: lpips-vgg where its backbone is present, else pyramid, which is not LPIPS; it fetches nothing, while a name
    # fetches its backbone (docs/models.md). At 128 px, slope included, vgg takes 310 ms a picture on one CPU core, alex
    # and squeeze 21 ms, the pyramid 1.4 ms.
    perceptual: Literal["auto", "lpips-vgg", "lpips-alex", "lpips-squeeze", "pyramid"] = "auto"
    pixel_weight: float = Field(1.0, ge=0)  # of the mean square; the unit of the others
    lpips_weight: float = Field(0.8, ge=0)  # Richardson et al. 2021, arXiv:2008.00951, section 4; not measured here
    pyramid_weight: float = Field(0.05, ge=0)  # edges of every size against colours; 0 to 0.2 are alike, 1 costs 0.5 dB
    # Of steps between neighbours, at every size, in the pyramid. 0.05 on random-32, 150 and 300 steps: 1.2 and 0.7 dB
    # won on pictures of its own, nothing beyond the scatter on real faces (0.0 and -0.15 dB, edges 1 % either way).
    gradient_weight: float = Field(0.0, ge=0)
    # Of a pixel outside the face against one inside; 1: no mask. Never 0: nothing would hold the background then.
    outside_weight: float = Field(1.0, gt=0, le=1)
    identity_weight: float = Field(0.0, ge=0)  # of the squared distance of dlib's identities: 30 ms a picture and step


class InversionSettings(_Settings):
    """How a face becomes a latent."""

    # Rates are in spreads of the generator's w, so they mean the same in every generator.
    method: Literal["naive", "sequential", "scene"] = "sequential"
    # projector: NVIDIA's schedule; without other words it means naive, in W, 1000 steps.
    preset: Literal["none", "projector"] = "none"
    space: Literal["w+", "w"] = "w+"  # naive: one style for all layers is easier to edit and 1 to 5 dB further away
    noise: bool = False  # naive: noise maps too, kept in the column `noise`; for generators that have some
    # Where a frame without a frame before starts: the mean latent, or an encoder's guess, without which it is refused;
    # None: from an encoder where there is one.
    init: InitMethod | None = None
    # Name or path of an encoder of this generator (.safetensors), or of a checkpoint of pSp, e4e or ReStyle (.pt).
    # None: the one shipped with it or beside its file, if any; none: the head of a track starts from the mean latent.
    encoder: str | None = None
    # From the mean: evaluations for each frame alone, or a track's head. 100 cost 3 dB on pictures of its own.
    first_steps: int = Field(300, ge=1)
    # Looks of an encoder at what its guess shows; of all guesses the one of least loss is taken. None: as it was made
    # for, 5 with ReStyle, else 0: on puppets 2 take the guess of puppet-128-encoder from 25.6 to 26.1 dB, but 15
    # evaluations later nothing is left of it (28.61 dB with 0, 2 and 5; after 50 30.22, 30.24, 30.22).
    encoder_refinements: int | None = Field(None, ge=0)
    # From an encoder's guess. On puppets 50 end at 30.5 dB, 100 at 31.3, 200 at 32.3; a track pays for them once.
    encoder_steps: int = Field(150, ge=1)
    learning_rate: float = Field(0.3, gt=0)  # with noise, which Adam changes; 0.2 to 0.45 are alike within the scatter
    # Sequential: evaluations for a later frame at most. On fast motion 15 end at 31.0 dB, 30 at 31.5, 45 at 31.7.
    next_steps: int = Field(45, ge=3)
    plateau: float = Field(0.002, ge=0)  # a frame is done when three evaluations gain less: 10 calm, 38 moving fast
    # Sequential: price of moving away from the frame before, in whitened units, layers up to 8 px, 32 px, and above.
    # 0.001 moves two thirds as far at 0.2 dB less, 0.0003 a third farther at 0.2 dB more.
    coarse_weight: float = Field(0.0005, ge=0)
    middle_weight: float = Field(0.0005, ge=0)
    fine_weight: float = Field(0.0005, ge=0)
    # Price of a latent that the mapping hardly makes: of its squared Mahalanobis distance, 1 for a sample. On puppets 0
    # ends 167 out, 1e-5 29 at 0.2 dB less, 1e-4 5 at 0.7 dB less. Unlikely latents interpolate and edit badly.
    prior_weight: float = Field(1e-5, ge=0)
    # Price of being away from the mean latent, in squared spreads, whatever the direction; pSp's w-norm. Off: it buys
    # nearness and nothing else that was measured. 16 puppets from the encoder, 150 evaluations: 0.001 ends at 0.6
    # squared spreads in place of 1.1 and 0.1 dB lower, 0.01 at 0.2 and 1.2 dB lower.
    average_weight: float = Field(0.0, ge=0)
    # Of the mapping network, for the whitened space: Wulff and Torralba 2020 take 100,000; fewer start a worker sooner.
    prior_samples: int = Field(100_000, ge=1000)
    # Of the generator's features; styles, colours and losses are float32. bfloat16 is 1.1 to 2 times as fast on a CPU
    # that multiplies it (AVX512-BF16) and ends 0.05 dB lower after 15 evaluations, 0.5 dB after 60 (puppet-128).
    precision: Literal["float32", "bfloat16"] = "float32"
    # By torch.compile: 1.5 to 1.9 times as fast, 2.0 to 2.6 with bfloat16 (puppet-128, one picture, one core). Off: it
    # needs a C++ compiler or Triton, and two minutes for each number of rows; some 8,000 evaluations win them back.
    compiled: bool = False

    @model_validator(mode="before")
    @classmethod
    def _as_the_preset_says(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") == "projector":
            schedule = {"method": "naive", "space": "w", "first_steps": 1000, "encoder": "none", "prior_weight": 0.0}
            if given.get("init") == "encoder":  # asked for: the schedule then begins there
                del schedule["encoder"]
            return schedule | given
        return given

    @model_validator(mode="after")
    def _only_what_the_method_can(self) -> Self:
        if self.init == "encoder" and self.encoder == "none":
            raise ValueError("init says encoder, and encoder says none; leave one of them out")
        if self.compiled and self.method == "scene":
            raise ValueError("a scene's batches have many sizes, and each would be compiled; leave compiled off for it")
        if self.noise and self.method != "naive":
            raise ValueError("only frames that are inverted alone have noise maps; set method to naive, or noise off")
        return self


class SceneSettings(_Settings):
    """What only the scene method asks for. Measured on walks between known samples of random-32 and puppet-128."""

    # What a straight piece may cost against frames that go where they like, or knots are tried.
    budget_db: float = Field(0.5, ge=0)
    # What a knot has to gain somewhere, on frames held out. Any freedom hastens the descent and gains a little.
    knot_db: float = Field(1.0, gt=0)
    # Of the path at the end, at most. 16 frames of a puppet, those never seen: 31.5 dB after 200, 31.75 after 400.
    evaluations: int = Field(300, ge=1)
    plateau: float = Field(0.005, ge=0)  # share of the error that a draw has to take off, or the descent is over
    round_evaluations: int = Field(75, ge=1)  # after each change of knots, at most; 400 put a corner a frame off
    round_plateau: float = Field(0.05, ge=0)  # the same, after a change of knots
    evaluations_per_draw: int = Field(25, ge=1)  # 50: a corner a frame off after twice the evaluations
    # Drawn, all where there are fewer. With 6, half the evaluations, unseen frames of a puppet are 0.9 dB worse: a new
    # draw spoils what L-BFGS has learnt of the last one.
    frames_per_segment: int = Field(12, ge=2)
    probes_per_segment: int = Field(12, ge=3)  # not varied; all frames of a segment of half a second
    probe_evaluations: int = Field(11, ge=1)  # of a frame off the path; 30 of Adam's steps get 0.5 dB farther
    frames_min: int = Field(3, ge=2)  # of a segment: a shorter one stores more latents than it saves
    # A small step off the path for each frame between knots. Off: rows are then the path itself, and as smooth.
    residual: bool = False
    residual_weight: float = Field(0.001, ge=0)  # price of that step, as of `coarse_weight` and its like
    residual_evaluations: int = Field(15, ge=2)  # of a frame; more than in sequential would follow its noise


class EmotionSettings(_Settings):
    """How an expression is read."""

    # Path of an .onnx with its manifest beside it, a name of the registry, or puppet-emotion; None: the emotion columns
    # are null, since the shipped network knows rendered faces only.
    model: str | None = None
    smooth_s: float = Field(0.2, ge=0)  # an expression lasts longer than the network's flicker


class Config(_Settings):
    """All settings of one dataset."""

    generator: str = "puppet-128"  # shipped: a dataset of it is small and real; faces of real people want a larger one
    label: int | None = Field(None, ge=0)  # which class a conditional generator draws; null for all others
    seed: int = Field(0, ge=0)  # of everything random, together with the item's id
    # face: what is found and followed. frame: the centre square of whole frames, a track a shot; hands, landscapes, …
    subject: Literal["face", "frame"] = "face"
    shots: ShotSettings = ShotSettings()
    faces: FaceSettings = FaceSettings()
    loss: LossSettings = LossSettings()
    inversion: InversionSettings = InversionSettings()
    scene: SceneSettings = SceneSettings()
    emotion: EmotionSettings = EmotionSettings()

    @model_validator(mode="after")
    def _only_faces_have_landmarks(self) -> Self:
        if self.subject == "frame":
            needs = {
                "loss.outside_weight": (self.loss.outside_weight < 1, "1"),
                "loss.identity_weight": (self.loss.identity_weight > 0, "0"),
                "emotion.model": (self.emotion.model is not None, "null"),
            }
            for name, (asked, off) in needs.items():
                if asked:
                    raise ValueError(f"{name} asks for a face, and subject is frame; set {name} to {off}")
        return self

    def canonical(
        self,
        *,
        generator_id: str,
        emotion_id: str | None,
        encoder_id: str | None = None,
        perceptual_id: str = "pyramid",
    ) -> dict[str, Any]:
        """The settings with paths replaced by what they point to: equal files under other names are equal here."""
        settings = self.model_dump(mode="json")
        settings["generator"] = generator_id
        if self.label is None:  # most generators know none, and datasets of before say nothing of it
            del settings["label"]
        settings["emotion"]["model"] = emotion_id
        settings["inversion"]["encoder"] = encoder_id
        _without_later_defaults(settings["inversion"])
        settings["loss"]["perceptual"] = perceptual_id
        return settings


def _without_later_defaults(inversion: dict[str, Any]) -> None:
    """Settings that came later say nothing where they change nothing: datasets of before keep their ids."""
    del inversion["init"]  # what it chose stands in `encoder`
    for name in ("encoder_refinements", "average_weight"):
        if inversion[name] == InversionSettings.model_fields[name].default:
            del inversion[name]


def config_id(canonical: dict[str, Any]) -> str:
    """16 hex digits that change when anything changes that can change a row."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ, as `inversion.method: naive, not sequential` (ours first)."""
    found: list[str] = []
    for name in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(name), theirs.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name}: {a}, not {b}")
    return found


def load_config(paths: str | Sequence[str] | None, overrides: dict[str, Any]) -> Config:
    """YAML files, later ones over earlier ones, then flags over all.

    Takes: `overrides` as dotted names, {"inversion.method": "naive"}; None values are flags that were not given.
    Raises: WrongUse naming the file, the setting and what it may be.
    """
    settings: dict[str, Any] = {}
    for path in [paths] if isinstance(paths, str) else paths or []:
        settings = _laid_over(settings, _read(path))
    for name, value in overrides.items():
        if value is not None:
            *groups, last = name.split(".")
            place = settings
            for group in groups:
                place = place.setdefault(group, {})
                if not isinstance(place, dict):
                    raise WrongUse(f"setting {name}: {group} is the value {place!r}, not a group; see docs/settings.md")
            place[last] = value
    try:
        return Config.model_validate(settings)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"]))
        what = f"setting {where} = {first.get('input')!r}" if where else "settings"  # of several groups: all of them
        raise WrongUse(f"{what}: {first['msg'].lower()}; see docs/settings.md") from err


def _read(path: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, yaml.YAMLError) as err:
        raise WrongUse(f"--config {path}: {' '.join(str(err).split())}; give a YAML file of settings") from err
    if not isinstance(settings, dict):
        raise WrongUse(f"--config {path}: holds a {type(settings).__name__}; write settings as `name: value`")
    return settings


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Groups are merged, so that a file says only what it changes; of anything else the upper one counts."""
    merged = dict(below)
    for name, value in above.items():
        under = below.get(name)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[name] = _laid_over(under, value) if both else value  # type: ignore[arg-type]
    return merged
