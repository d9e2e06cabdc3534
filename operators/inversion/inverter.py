"""One interface for all ways to invert."""

from collections.abc import Sequence
from typing import Protocol

from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import NO_ENCODER
from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_sequential import InvertSequential
from operators.stylegan.generator import Generator
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings


class Inverter(Protocol):
    """Clips in, latents and their quality out, in the same order. Warm-up frames are inverted and kept."""

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]: ...


def make_inverter(generator: Generator, settings: InversionSettings, *, device: str = "cpu") -> Inverter:
    """The inverter that the settings name, with its encoder. The generator is frozen and moved to `device`.

    Takes: settings whose encoder was chosen by `encoder_of`; with none chosen, a track begins at the mean latent.
    Raises: WrongUse when the encoder's file is no whole encoder, or was made for another generator.
    """
    encoder = None if settings.encoder in {None, NO_ENCODER} else load_encoder(settings.encoder, generator)
    if settings.method == "naive":
        return InvertNaive(generator, settings, encoder=encoder, device=device)
    # A CPU worker gets its clips one by one, so more lanes would stand empty; a GPU is idle with one small picture.
    lanes = 1 if device == "cpu" else 8
    return InvertSequential(generator, settings, encoder=encoder, device=device, lanes=lanes)
