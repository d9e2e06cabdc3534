"""Which encoder an inversion starts from, and what its file says of itself, read without torch."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from operators.inversion.published_encoders.checkpoint import CURE, read_published, require_fit
from operators.models.model_file import weights_file
from schemas.config import InitMethod
from schemas.embedded import EMBEDDED
from schemas.errors import WrongUse
from schemas.generators import GeneratorInfo

NO_ENCODER = "none"
FILE_FORMAT = "latentreel-encoder-1"  # the number rises when an older reader would misread the file
_SIZES = ("resolution", "num_ws", "w_dim", "width", "hidden")
_GENERATOR_FILES = (".safetensors", ".pkl", ".pt", ".pth")
_FIELDS = {*_SIZES, "spread", "generator_id", "generator_weights"}


def encoder_path(name: str) -> str:
    """The one place where what a user writes becomes a file: a name that is shipped or in the registry, or a path."""
    return weights_file(name, kind="encoder")


def is_published(name: str) -> bool:
    """Whether it is a checkpoint of pSp, e4e or ReStyle, not a file of ours."""
    return not encoder_path(name).endswith(".safetensors")


def read_header(name: str) -> dict[str, Any]:
    """The header, checked; tensors are not read and nothing is executed.

    Gives: the sizes of EncoderShape, its spread, `generator_id` as describe_generator tells it, and
    `generator_weights`, the hash of that generator's weights, which knows it under any name.
    Takes: a path, or the name of an embedded encoder.
    Raises: WrongUse naming the file and what is wrong with it.
    """
    path = encoder_path(name)
    if not Path(path).is_file():
        raise WrongUse(f"encoder {path}: no such file; {CURE}")
    try:
        with safe_open(path, framework="np") as file:  # compares the header with the file's length
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as err:
        raise WrongUse(f"encoder {path}: not a whole .safetensors file ({err}); copy it again") from err
    try:
        header = json.loads(metadata.get("encoder", "{}"))
    except ValueError as err:
        raise WrongUse(f"encoder {path}: its header is not JSON ({err}); write the file again") from err
    found = header.pop("format", None) if isinstance(header, dict) else None
    if found != FILE_FORMAT:
        raise WrongUse(f"encoder {path}: format {found}, expected {FILE_FORMAT}; give an encoder, not another network")
    if header.keys() != _FIELDS:
        raise WrongUse(f"encoder {path}: its header must give {', '.join(sorted(_FIELDS))}; write the file again")
    # Bounded before anything is allocated from them: the header may come from anywhere. bool is an int: no isinstance
    if any(type(header[name]) is not int or not 1 <= header[name] <= 4096 for name in _SIZES):
        raise WrongUse(f"encoder {path}: its sizes must be whole numbers from 1 to 4096; write the file again")
    if type(header["spread"]) is not float or not 0 < header["spread"] < 1e6:
        raise WrongUse(f"encoder {path}: spread {header['spread']}; give a positive number; write the file again")
    checked: dict[str, Any] = header
    return checked


def encoder_of(generator: str, wanted: str | None, init: InitMethod | None = None) -> str | None:
    """The encoder that an inversion starts from, by name or path; None: it starts from the mean latent.

    Takes: the setting `inversion.encoder`: a name or path, `none`, or None, which takes the encoder that is shipped
    with the generator or lies beside its file (`ffhq-encoder.safetensors` beside `ffhq.safetensors`), if any; the
    setting `inversion.init`.
    Raises: WrongUse when an encoder is asked for and there is none.
    """
    if init == "mean":
        return None
    found = _encoder_of(generator, wanted)
    if found is None and init == "encoder":
        raise WrongUse(
            f"inversion.init is encoder, and generator {generator} has none; name one with --encoder, train one with "
            f"`latentreel encoder train {generator} -o FOLDER`, or start from the mean: --init mean"
        )
    return found


def _encoder_of(generator: str, wanted: str | None) -> str | None:
    if wanted is not None:
        return None if wanted == NO_ENCODER else wanted
    if (embedded := f"{generator}-encoder") in EMBEDDED:
        return embedded
    beside = Path(generator).with_name(f"{Path(generator).stem}-encoder.safetensors")
    return str(beside) if generator.endswith(_GENERATOR_FILES) and beside.is_file() else None


def encoder_id(name: str, generator: GeneratorInfo) -> str:
    """16 hex digits that follow from the file's bytes alone, so that an encoder under another name is the same.

    Raises: WrongUse when the file is no encoder, or one of ours that was made for another generator, or a published one
    that makes other latents than the generator takes.
    """
    path = encoder_path(name)
    if is_published(name):
        require_fit(path, read_published(path).sizes, num_ws=generator.num_ws, w_dim=generator.w_dim)
    else:
        made_for, generator_id = read_header(name)["generator_id"], generator.generator_id
        if made_for != generator_id and _hash_of(made_for) != _hash_of(generator_id):
            raise WrongUse(
                f"encoder {path}: made for generator {made_for}, not {generator_id}; give that generator's encoder, or "
                "none"
            )
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _hash_of(generator_id: str) -> str:
    """A file's id is its stem and its hash: a copy under another name is the same. random-64-seed0 has no hash."""
    found = re.search(r"-([0-9a-f]{16}(-label\d+)?)$", generator_id)
    return found[1] if found else generator_id
