"""Which perceptual loss there is on this machine, told without torch: the backbones of LPIPS are files, if at all.

They are looked for under torchvision's published names in the folder LATENTREEL_MODELS, then where torch.hub keeps its
downloads, then in our own cache. One that is asked for by its name and is nowhere is fetched there, once a machine,
unless LATENTREEL_MODELS is set; `auto` fetches nothing, since which loss a dataset has must not hang on a network.
"""

import os
import re
from pathlib import Path

from operators.models.model_file import cache_folder, model_file
from operators.models.published import sha256_of
from schemas.embedded import MODELS
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES, find_model

AUTO = "auto"
PYRAMID = "pyramid"  # a pyramid of errors; needs no weights, and is not LPIPS

# Files of the registry are torchvision's newest; older releases published the same networks under other digits. The
# eight digits in a name are the head of the file's sha256, so any will do that are the file's own.
_NAMES = ("lpips-vgg", "lpips-alex", "lpips-squeeze")


def perceptual_name(wanted: str) -> str:
    """The name of the perceptual loss: lpips-vgg, lpips-alex, lpips-squeeze or pyramid.

    Takes: one of them, or `auto`: lpips-vgg where its backbone is present, else pyramid.
    Raises: WrongUse for another name, or when the backbone that was asked for is absent and cannot be fetched.
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
    """The file of a backbone, by the name of its loss; fetched where it is nowhere and no mirror is set.

    Raises: WrongUse naming the file and the places where it is not.
    """
    if name not in _NAMES:
        choices = ", ".join((AUTO, PYRAMID, *_NAMES))
        raise WrongUse(f"perceptual loss {name}: there is none of that name; choose {choices}")
    if (path := _find(name)) is not None:
        return path
    published = _published(name)
    if not os.environ.get(MODELS):
        try:
            return model_file(published)
        except WrongUse as err:
            raise WrongUse(f"{err}, or choose {PYRAMID}") from err
    places = " or ".join(str(folder) for folder in _folders())
    raise WrongUse(
        f"{name}: {published} is not in {places}; where there is a network, unset {MODELS}, run `latentreel models "
        f"fetch {name}` and copy the file there, or choose {PYRAMID}"
    )


def checked_hash(path: Path) -> str:
    """The sha256 of a backbone's file.

    Raises: WrongUse when it is not the published one, or does not begin with the digits in the file's name.
    """
    found = sha256_of(path)
    published = MODEL_FILES.get(path.name)
    promised = published.sha256 if published else path.stem.rpartition("-")[2]
    if not found.startswith(promised):
        raise WrongUse(f"{path}: its sha256 begins with {found[:8]}, its name promises {promised[:8]}; fetch it again")
    return found


def _published(name: str) -> str:
    """The name of the registry's file."""
    file = find_model(name)
    assert file is not None, name
    return file.name


def _find(name: str) -> Path | None:
    published = _published(name)
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
    return ([Path(models)] if models else []) + [hub, cache_folder()]
