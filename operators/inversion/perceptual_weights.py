"""Which perceptual loss there is on this machine, told without torch: the backbones of LPIPS are files, if at all.

They are looked for under torchvision's published names in the folder LATENTREEL_MODELS, then where torch.hub keeps its
downloads. Nothing is downloaded here.
"""

import hashlib
import os
import re
from pathlib import Path

from schemas.embedded import MODELS
from schemas.errors import WrongUse

AUTO = "auto"
PYRAMID = "pyramid"  # a pyramid of errors; needs no weights, and is not LPIPS

# As torchvision 0.29 publishes them. The eight digits are the head of the file's sha256; older releases of torchvision
# published the same networks in other files, so any digits will do that are the file's own.
_FILES = {
    "lpips-vgg": "vgg16-397923af.pth",
    "lpips-alex": "alexnet-owt-7be5be79.pth",
    "lpips-squeeze": "squeezenet1_1-b8a52dc0.pth",
}


def perceptual_name(wanted: str) -> str:
    """The name of the perceptual loss: lpips-vgg, lpips-alex, lpips-squeeze or pyramid.

    Takes: one of them, or `auto`: lpips-vgg where its backbone is present, else pyramid.
    Raises: WrongUse for another name, or when the backbone that was asked for is absent.
    """
    if wanted == AUTO:
        return PYRAMID if _find("lpips-vgg") is None else "lpips-vgg"
    if wanted != PYRAMID:
        backbone_path(wanted)
    return wanted


def perceptual_id(name: str) -> str:
    """The name, with 16 hex digits of the backbone's file: what a dataset's config_id has to know.

    Raises: WrongUse when the file is absent or is not the one that its name says.
    """
    return name if name == PYRAMID else f"{name}-{checked_hash(backbone_path(name))[:16]}"


def backbone_path(name: str) -> Path:
    """The file of a backbone, by the name of its loss.

    Raises: WrongUse naming the file and the places where it is not.
    """
    if name not in _FILES:
        raise WrongUse(f"perceptual loss {name}: there is none of that name; choose {AUTO}, {PYRAMID}, {_list()}")
    if (path := _find(name)) is None:
        places = " or ".join(str(folder) for folder in _folders())
        raise WrongUse(f"{name}: {_FILES[name]} is not in {places}; put torchvision's file there, or choose {PYRAMID}")
    return path


def checked_hash(path: Path) -> str:
    """The sha256 of a backbone's file.

    Raises: WrongUse when it does not begin with the digits in the file's name.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    promised = path.stem.rpartition("-")[2]
    if not found.startswith(promised):
        raise WrongUse(f"{path}: its sha256 begins with {found[:8]}, its name promises {promised}; fetch it again")
    return found


def _find(name: str) -> Path | None:
    published = _FILES[name]
    pattern = re.compile(re.escape(published.rpartition("-")[0]) + r"-[0-9a-f]{8}\.pth")
    for folder in _folders():
        files = sorted(path for path in folder.glob("*.pth") if pattern.fullmatch(path.name))
        if files:
            return next((path for path in files if path.name == published), files[0])
    return None


def _folders() -> list[Path]:
    # As torch.hub finds its folder, without importing torch: this runs in commands that answer at once.
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    hub = Path(os.environ.get("TORCH_HOME", cache)).expanduser() / "hub" / "checkpoints"
    models = os.environ.get(MODELS)
    return [Path(models), hub] if models else [hub]


def _list() -> str:
    return ", ".join(_FILES)
