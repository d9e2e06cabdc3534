"""How far a picture is from the face it should show, one number per picture: the loss that needs no weights.

N pictures, R side in pixels.
"""

from torch import Tensor

from operators.inversion.pyramid import band_errors, pyramid_levels


def reconstruction_loss(x_N3RR: Tensor, target_N3RR: Tensor, *, pyramid_weight: float) -> Tensor:
    """Mean square error, plus the mean absolute error of each band of a Laplacian pyramid. This is not LPIPS.

    The square alone is content with the right colours; the bands ask for edges at every size.

    Takes: pictures in [-1, 1].
    Gives: (N,), each from its own picture only; the sum over N is what to differentiate.
    """
    difference_N3RR = x_N3RR - target_N3RR
    loss_N = difference_N3RR.square().mean(dim=(1, 2, 3))
    if pyramid_weight > 0:
        for band_N in band_errors(pyramid_levels(difference_N3RR)):
            loss_N = loss_N + pyramid_weight * band_N
    return loss_N
