"""One interface for all ways to invert."""

from collections.abc import Sequence
from typing import Protocol

from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_scene import InvertScene
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.tools import inversion_tools
from operators.stylegan.generator import Generator
from schemas.clips import LatentClip, TrackClip
from schemas.config import InversionSettings, LossSettings, SceneSettings


class Inverter(Protocol):
    """Clips in, latents and their quality out, in the same order. Warm-up frames are inverted and kept."""

    def __call__(self, clips: Sequence[TrackClip]) -> list[LatentClip]: ...


def make_inverter(
    generator: Generator,
    settings: InversionSettings,
    *,
    loss: LossSettings | None = None,
    scene: SceneSettings | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Inverter:
    """The inverter that the settings name, with its tools. Takes, Raises: as `inversion_tools`."""
    tools = inversion_tools(generator, settings, loss=loss, seed=seed, device=device)
    if settings.method == "naive":
        return InvertNaive(tools, settings)
    if settings.method == "scene":
        return InvertScene(tools, settings, scene or SceneSettings())
    # A CPU worker gets its clips one by one, so more lanes would stand empty; a GPU is idle with one small picture.
    return InvertSequential(tools, settings, lanes=1 if device == "cpu" else 8)
