"""What an expression network wants and what its outputs mean: the JSON file beside an .onnx.

`smile.onnx` is described by `smile.json` with exactly the fields of `EmotionManifest`, or by an entry named
`smile.onnx` in a collection's `manifest.json` (a list `files` with `name`, `sha256`, `input` and `outputs`). Networks
of the registry are known by name, and have theirs in published_networks.py.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from operators.emotion.published_networks import PUBLISHED_NETWORKS
from operators.models.model_file import meant_by, model_file
from schemas.embedded import weights_path
from schemas.emotions import EMOTIONS, N_EMOTIONS
from schemas.errors import WrongUse


class EmotionManifest(BaseModel):
    """Everything about an expression network that its file does not say itself. The input is (x - mean) * scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size_px: int = Field(ge=8, le=1024)  # side of the square input
    layout: Literal["NCHW", "NHWC"]
    colour: Literal["RGB", "grey"]
    mean: tuple[float, ...]  # one for all channels, or one each; of values in [0, 255]
    scale: float | tuple[float, ...]  # as mean
    crop_margin: float = Field(ge=-0.4, le=2)  # the input shows a square of (1 + margin) times the face's longer side
    labels: tuple[str, ...]
    # to_emopy[i] is the EmoPy id of output i; None: it is none of the seven, and left out as if it were not there.
    to_emopy: tuple[int | None, ...]
    output: Literal["probabilities", "logits"]

    @model_validator(mode="after")
    def _agree(self) -> "EmotionManifest":
        ids = sorted(i for i in self.to_emopy if i is not None)
        if len(self.labels) != len(self.to_emopy) or ids != list(range(N_EMOTIONS)):
            raise ValueError(
                f"labels {self.labels} and to_emopy {self.to_emopy}; give a label for each output, and to_emopy must "
                f"name each id once: {', '.join(f'{name} {i}' for i, name in enumerate(EMOTIONS))}; null for others"
            )
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if isinstance(values, tuple) and len(values) not in {1, self.channels}:
                raise ValueError(f"{name} has {len(values)} values; give 1 or {self.channels} for {self.colour}")
        if not all(value > 0 for value in (self.scale if isinstance(self.scale, tuple) else (self.scale,))):
            raise ValueError(f"scale {self.scale}; give numbers above 0")
        return self

    @property
    def outputs(self) -> list[int]:
        """The network's outputs that are one of the seven, in EmoPy's order."""
        return [self.to_emopy.index(i) for i in range(N_EMOTIONS)]

    @property
    def channels(self) -> int:
        return 3 if self.colour == "RGB" else 1


def read_model(model_path: str | Path) -> tuple[bytes, EmotionManifest]:
    """The network's bytes and its manifest, after comparing the hash: what is checked is what runs.

    Takes: a path, or a name of what is shipped or of the registry; that is fetched at its first use.
    Raises: WrongUse when the model or its manifest is missing or wrong, or the two do not belong together.
    """
    if (file := meant_by(str(model_path))) is not None:
        if file.short not in PUBLISHED_NETWORKS:
            names = ", ".join(PUBLISHED_NETWORKS)
            raise WrongUse(f"expression model {model_path}: that is {file.use}; choose {names}")
        model = model_file(file.name).read_bytes()
        facts = PUBLISHED_NETWORKS[file.short]
        return model, EmotionManifest(sha256=hashlib.sha256(model).hexdigest(), **facts)
    path = Path(weights_path(str(model_path)))
    try:
        model = path.read_bytes()
    except OSError as err:
        raise WrongUse(f"expression model {path}: {err.strerror}; give the path of an .onnx file") from err
    manifest = _read_manifest(path)
    if (found := hashlib.sha256(model).hexdigest()) != manifest.sha256:
        raise WrongUse(
            f"expression model {path}: sha256 is {found[:12]}..., its manifest says {manifest.sha256[:12]}...; "
            "fetch the file again, or write the manifest of this one"
        )
    return model, manifest


def emotion_id(model_path: str | Path) -> str:
    """16 hex digits that change when any probability may change. Raises: as read_model."""
    model, manifest = read_model(model_path)
    return hashlib.sha256(hashlib.sha256(model).digest() + manifest.model_dump_json().encode()).hexdigest()[:16]


def _read_manifest(model_path: Path) -> EmotionManifest:
    own, collection = model_path.with_suffix(".json"), model_path.with_name("manifest.json")
    path = own if own.is_file() else collection
    if not path.is_file():
        raise WrongUse(
            f"expression model {model_path} has no manifest; write {own.name} beside it (docs/settings.md shows one)"
        )
    try:
        content = json.loads(path.read_text())
        return EmotionManifest.model_validate(content if path == own else _entry(content, model_path.name))
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(map(str, first["loc"])) or "fields"
        raise WrongUse(f"manifest {path} for {model_path.name}: {where}: {first['msg']}; correct the file") from err
    except (ValueError, LookupError, TypeError, OSError) as err:
        raise WrongUse(
            f"manifest {path} for {model_path.name}: {type(err).__name__} {err}; see docs/settings.md for its form"
        ) from err


def _entry(collection: dict[str, Any], name: str) -> dict[str, Any]:
    """One file's entry of a collection, in the form of EmotionManifest."""
    entries = [entry for entry in collection["files"] if entry["name"] == name]
    if len(entries) != 1:
        raise ValueError(f"names {name} {len(entries)} times")
    entry, put, out = entries[0], entries[0]["input"], entries[0]["outputs"]
    if put["width"] != put["height"]:
        raise ValueError(f"input is {put['width']}x{put['height']}; only squares are supported")
    return {
        "sha256": entry["sha256"],
        "size_px": put["width"],
        "layout": put["layout"].split()[0].replace("N1HW", "NCHW"),
        "colour": put["colour"],
        "mean": put["mean"] if isinstance(put["mean"], list) else [put["mean"]],
        "scale": put["scale"],
        "crop_margin": put["crop_margin"],
        "labels": out["labels"],
        "to_emopy": out["to_emopy"],
        "output": "probabilities" if "softmax" in out["shape"] else "logits",
    }
