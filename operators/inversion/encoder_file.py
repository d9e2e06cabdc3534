"""Encoders to and from .safetensors files. Loading reads numbers and a header; nothing is executed."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from operators.inversion.encoder import Encoder, EncoderShape
from operators.inversion.encoder_header import FILE_FORMAT, encoder_path, is_published, read_header
from operators.inversion.picture_encoder import PictureEncoder
from operators.inversion.published_encoders.published_encoder import load_published_encoder
from operators.stylegan.generator import Generator
from schemas.errors import WrongUse


def encoder_bytes(encoder: Encoder, generator: Generator, *, generator_id: str) -> bytes:
    """The content of an encoder's file.

    Weights are stored as float16: half the bytes, and guesses move by less than a hundredth of a spread. The mean
    latent stays float32: it is what all guesses are offsets to.
    """
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in encoder.state_dict().items()}
    tensors["mean_D"] = encoder.mean_D.detach().cpu()
    header = {
        "format": FILE_FORMAT,
        **asdict(encoder.shape),
        "generator_id": generator_id,
        "generator_weights": weights_hash(generator),
    }
    # One entry: the library writes several in an order that changes from run to run, and the bytes are the identity.
    content: bytes = save(tensors, metadata={"encoder": json.dumps(header)})
    return content


def load_encoder(name: str, generator: Generator) -> PictureEncoder:
    """The encoder of a generator, frozen, on the CPU.

    Takes: a name, the path of a .safetensors of ours, or of a checkpoint of pSp, e4e or ReStyle.
    Raises: WrongUse when the file is no whole encoder, or cannot be this generator's.
    """
    return load_published_encoder(encoder_path(name), generator) if is_published(name) else _ours(name, generator)


def _ours(path: str, generator: Generator) -> Encoder:
    """Raises: WrongUse also when it was made for another generator."""
    header = read_header(path)
    made_for, weights = header.pop("generator_id"), header.pop("generator_weights")
    if weights != weights_hash(generator):
        raise WrongUse(
            f"encoder {path}: made for generator {made_for}, and this one has other weights; give that generator's "
            "encoder, or none"
        )
    shape = EncoderShape(**header)
    if (shape.resolution, shape.num_ws, shape.w_dim) != (generator.resolution, generator.num_ws, generator.w_dim):
        raise WrongUse(f"encoder {path}: its header names sizes that its generator has not; write the file again")
    encoder = Encoder(shape)
    tensors = _read(path)
    expected = encoder.state_dict()
    if differ := sorted(
        name for name in tensors.keys() | expected.keys() if _shape(tensors, name) != _shape(expected, name)
    ):
        raise WrongUse(f"encoder {path}: {len(differ)} tensors do not fit, first {differ[0]}; write the file again")
    if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise WrongUse(f"encoder {path}: {min(broken)} holds NaN or infinity; take an earlier checkpoint")
    encoder.load_state_dict(tensors)  # copied into float32
    return encoder.eval().requires_grad_(False)


def weights_hash(generator: Generator) -> str:
    """16 hex digits of a generator's trained numbers; what follows from them or is noise does not count."""
    sizes = ", ".join(f"{name}={value!r}" for name, value in generator.architecture.header().items())
    digest = hashlib.sha256(f"Architecture({sizes})".encode())  # as files of before spell it
    for name, parameter in sorted(generator.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _read(path: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load(Path(encoder_path(path)).read_bytes())
    except SafetensorError as err:
        raise WrongUse(f"encoder {path}: not a whole .safetensors file ({err}); copy it again") from err
    return tensors


def _shape(tensors: dict[str, Tensor], name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None
