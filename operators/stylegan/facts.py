"""What there is to know of a generator: its sizes, where its latents lie, and what its pictures look like.

N pictures, R side in pixels, D style width.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from operators.stylegan.generator import Generator
from operators.stylegan.w_statistics import style_samples

_W_SAMPLES = 10_000  # a mean is then off by 1 % of the spread


def generator_facts(generator: Generator) -> dict[str, object]:
    """By name, for a table. Gives: figures of w over samples of z; of a conditional generator over all its labels."""
    sizes = generator.architecture
    mapping, synthesis = (
        sum(p.numel() for p in part.parameters()) for part in (generator.mapping, generator.synthesis)
    )
    w_ND = torch.cat(list(style_samples(generator.mapping, n=_W_SAMPLES, seed=0)))
    mean_D = w_ND.mean(dim=0)
    spread = float((w_ND - mean_D).square().mean().sqrt())
    drift = float((generator.mapping.w_avg - mean_D).square().mean().sqrt())
    strengths = torch.stack([conv.noise_strength.detach() for conv in generator.synthesis.convs])
    return {
        "resolution": f"{sizes.resolution} px",
        "num_ws": sizes.num_ws,
        "z_dim": sizes.z_dim,
        "w_dim": sizes.w_dim,
        "channels": ", ".join(f"{n} at {4 * 2**i} px" for i, n in enumerate(sizes.channels)),
        "mapping layers": sizes.mapping_layers,
        "labels": sizes.label_dim or "none",
        "noise": f"strengths {strengths.min():.3g} to {strengths.max():.3g}" if strengths.any() else "none",
        "clamp": "none" if sizes.clamp is None else sizes.clamp,
        "parameters": f"{(mapping + synthesis) / 1e6:.2f} M ({mapping / 1e6:.2f} M mapping)",
        "w, spread of a coordinate": f"{spread:.4g}",
        "w, length of the mean": f"{float(mean_D.norm()):.4g}",
        "w_avg, distance from that mean": f"{drift / spread:.3g} spreads a coordinate",
    }


@torch.no_grad()
def sample_grid(generator: Generator, *, n: int, seed: int, truncation_psi: float) -> Tensor:
    """(n, 3, R, R), about [-1, 1]: pictures of random z, made singly; of a conditional generator its labels in turn."""
    z_NZ = torch.randn(n, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    label_NK = None
    if n_labels := generator.architecture.label_dim:
        label_NK = F.one_hot(torch.arange(n) % n_labels, n_labels).float()
    w_NLD = generator.mapping(z_NZ, label_NK, truncation_psi=truncation_psi)
    return torch.cat([generator.synthesis(w_LD[None]) for w_LD in w_NLD])
