"""One interface for all ways to invert."""

from collections.abc import Sequence
from typing import Protocol

from operators.inversion.encoder_file import load_encoder
from operators.inversion.encoder_header import NO_ENCODER
from operators.inversion.frame_loss import FrameLoss
from operators.inversion.invert_naive import InvertNaive
from operators.inversion.invert_scene import InvertScene
from operators.inversion.invert_sequential import InvertSequential
from operators.inversion.prior import latent_prior
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
    """The inverter that the settings name, with its encoder. The generator is frozen and moved to `device`.

    Takes: settings whose encoder was chosen by `encoder_of`; with none chosen, a track begins at the mean latent.
    Raises: WrongUse when the encoder's file is no whole encoder, or was made for another generator, or when the weights
    of a perceptual loss are absent or wrong.
    """
    encoder = None
    if settings.encoder is not None and settings.encoder != NO_ENCODER:
        encoder = load_encoder(settings.encoder, generator)
    generator = generator.to(device)
    frame_loss = FrameLoss(loss or LossSettings(), resolution=generator.resolution, device=device)
    prior = latent_prior(generator, n_samples=settings.prior_samples)
    if settings.method == "naive":
        return InvertNaive(generator, settings, loss=frame_loss, prior=prior, encoder=encoder, device=device, seed=seed)
    if settings.method == "scene":
        return InvertScene(
            generator,
            settings,
            loss=frame_loss,
            prior=prior,
            scene=scene,
            encoder=encoder,
            device=device,
            seed=seed,
        )
    # A CPU worker gets its clips one by one, so more lanes would stand empty; a GPU is idle with one small picture.
    lanes = 1 if device == "cpu" else 8
    return InvertSequential(
        generator, settings, loss=frame_loss, prior=prior, encoder=encoder, device=device, lanes=lanes, seed=seed
    )
