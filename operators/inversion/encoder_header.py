"""What an encoder's file says of itself, read without torch: sizes, and the generator that it was trained for."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from schemas.embedded import EMBEDDED, weights_path
from schemas.errors import WrongUse

NO_ENCODER = "none"
FILE_FORMAT = "latentreel-encoder-1"  # the number rises when an older reader would misread the file
_SIZES = ("resolution", "num_ws", "w_dim", "width", "hidden")
_FIELDS = {*_SIZES, "spread", "generator_id", "generator_weights"}


def read_header(name: str) -> dict[str, Any]:
    """The header, checked; tensors are not read and nothing is executed.

    Gives: the sizes of EncoderShape, its spread, `generator_id` as describe_generator tells it, and
    `generator_weights`, the hash of that generator's weights, which knows it under any name.
    Takes: a path, or the name of an embedded encoder.
    Raises: WrongUse naming the file and what is wrong with it.
    """
    path = weights_path(name)
    if not Path(path).is_file():
        raise WrongUse(f"encoder {path}: no such file; give an encoder's .safetensors, or train one")
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


def encoder_of(generator: str, wanted: str | None) -> str | None:
    """The encoder that an inversion starts from, by name or path; None: it starts from the mean latent.

    Takes: the setting `inversion.encoder`: a name or path, `none`, or None, which takes the encoder that is shipped
    with the generator or lies beside its file (`ffhq-encoder.safetensors` beside `ffhq.safetensors`), if any.
    """
    if wanted is not None:
        return None if wanted == NO_ENCODER else wanted
    if (embedded := f"{generator}-encoder") in EMBEDDED:
        return embedded
    beside = Path(generator).with_name(f"{Path(generator).stem}-encoder.safetensors")
    return str(beside) if generator.endswith(".safetensors") and beside.is_file() else None


def encoder_id(name: str, *, generator_id: str) -> str:
    """16 hex digits that follow from the file's bytes alone, so that an encoder under another name is the same.

    Raises: WrongUse when the file is no encoder, or was made for a generator other than `generator_id`.
    """
    made_for, path = read_header(name)["generator_id"], weights_path(name)
    # A file's id is its stem and its hash: a copy under another name is the same generator. random-64-seed0 has no hash
    if made_for != generator_id and _hash_of(made_for) != _hash_of(generator_id):
        raise WrongUse(
            f"encoder {path}: made for generator {made_for}, not {generator_id}; give that generator's encoder, or none"
        )
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _hash_of(generator_id: str) -> str:
    tail = generator_id.rpartition("-")[2]
    return tail if len(tail) == 16 else generator_id
