"""The registry of weights that others publish and latentreel can use: where they come from and how they are told.

None of them is shipped. The entries stand in model_registry.yaml beside this module.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, get_args

import yaml

ModelKind = Literal["generator", "encoder", "backbone", "detector", "landmarks", "emotion"]

_SHORT = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SHA256_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """One published file. Its sums are what makes it this file: names and addresses are used by others too."""

    name: str  # of the file, in the cache and in a mirror
    short: str  # what a user writes
    kind: ModelKind
    url: str = ""  # empty: there is a page only, behind which a person finds it
    page: str = ""  # where the publisher offers it, where that is no address of the file itself
    sha256: str = ""  # 64 hex digits, or as many of the first as are published; empty: none is
    git_blob: str = ""  # 40 hex digits: the SHA-1 under which the publisher's git repository holds it
    bytes: int | None = None  # None: not published
    licence: str
    non_commercial: bool = False
    use: str
    source: str = ""  # where address, size and sums were read

    def __post_init__(self) -> None:
        assert self.name and "/" not in self.name, self.name
        assert _SHORT.fullmatch(self.short), self.short
        assert self.kind in get_args(ModelKind), f"{self.short}: {self.kind}"
        assert self.url or self.page, f"{self.short}: neither url nor page"
        assert re.fullmatch(r"([0-9a-f]{8,64})?", self.sha256), f"{self.short}: {self.sha256}"
        assert re.fullmatch(r"([0-9a-f]{40})?", self.git_blob), f"{self.short}: {self.git_blob}"
        assert self.bytes is None or self.bytes > 0, f"{self.short}: {self.bytes}"

    @property
    def told_by_sum(self) -> bool:
        """Whether what is published tells this file from every other."""
        return len(self.sha256) == _SHA256_DIGITS or bool(self.git_blob)

    @property
    def origin(self) -> str:
        """Where a person gets it: the address, or the page."""
        return self.url or f"by hand from {self.page}"


def find_model(name: str) -> ModelFile | None:
    """The entry whose short name or whose file's name this is. A look-up: nothing is fetched."""
    if name in MODEL_FILES:
        return MODEL_FILES[name]
    return next((file for file in MODEL_FILES.values() if file.short == name), None)


def _read_registry() -> dict[str, ModelFile]:
    entries = yaml.safe_load((files("schemas") / "model_registry.yaml").read_text(encoding="utf-8"))
    found = {entry["name"]: ModelFile(**entry) for entry in entries}
    assert len(found) == len(entries) == len({file.short for file in found.values()}), "a name stands there twice"
    return found


MODEL_FILES: dict[str, ModelFile] = _read_registry()  # by the file's name

S3FD = "s3fd-619a316812.pth"
FAN_2D = "2DFAN4-11f355bf06.pth.tar"
BLAZEFACE = "blazefaceback.pth"
BLAZEFACE_ANCHORS = "anchorsback.npy"
RETINAFACE = "mobilenet0.25_Final.pth"
YUNET = "face_detection_yunet_2026may.onnx"
