"""Draw people, faces and lights at random. N faces, D = N_PARAMETERS."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from operators.puppets.expression import FEELINGS
from operators.puppets.parameters import N_PARAMETERS, PARAMETER_NAMES, FaceParameters

_AT = {name: i for i, name in enumerate(PARAMETER_NAMES)}
_SHARES = ("skin_tone", "freckles", "age", "hair_tone", "iris_hue", "iris_tone", "makeup", "cloth_hue", "cloth_tone")
_BOTH_WAYS = (
    "hair_length",
    "hair_parting",
    "beard",
    "glasses",
    "glasses_shape",
    "light_side",
    "light_height",
    "distance",
)
_ACTIONS = tuple(PARAMETER_NAMES[_AT["inner_brow_up"] : _AT["jaw_down"] + 1])
_EXTRA = 3  # columns of chance beyond the parameters: feeling, its strength, and build


def random_parameters(seed: int, n: int) -> NDArray[np.float32]:
    """(N, D) vectors. The first k of n are those of any other n: a set can be made in pieces.

    People: build (from 0, slight, to 1, heavy) moves jaw, brows, beard, hair and makeup together, as in life.
    Faces: one in seven neutral, the others one feeling of strength 0.3 to 1, over small actions of their own; half of
    them speak. Heads: yaw s.d. 16 degrees, nod 6, tilt 7, none beyond 2.5 of them.
    """
    chance_ND = np.random.default_rng(seed).random((n, N_PARAMETERS + _EXTRA))
    found_ND: NDArray[np.float64] = np.clip(ndtri(np.clip(chance_ND[:, :N_PARAMETERS], 1e-6, 1 - 1e-6)), -2.5, 2.5)

    def chance(name: str) -> NDArray[np.float64]:
        column: NDArray[np.float64] = chance_ND[:, _AT[name]]
        return column

    def put(name: str, values_N: NDArray[np.float64]) -> None:
        found_ND[:, _AT[name]] = values_N

    for name in _SHARES:
        put(name, chance(name))
    for name in _BOTH_WAYS:
        put(name, 2 * chance(name) - 1)
    for corner in ("tl", "tr", "bl", "br"):
        grey_N = 0.8 * chance(f"back_{corner}_red")  # rooms are mostly grey: the three colours stay near each other
        for colour in ("red", "green", "blue"):
            put(f"back_{corner}_{colour}", np.clip(grey_N + 0.1 * found_ND[:, _AT[f"back_{corner}_{colour}"]], 0, 1))
    feeling_N, strength_N, build_N = chance_ND[:, N_PARAMETERS:].T
    heavy_N = np.clip(3 * build_N - 1, 0, 1)
    for name, shift in (("jaw_width", 0.7), ("brow_ridge", 0.9), ("brow_thickness", 0.6), ("chin_width", 0.5)):
        put(name, np.clip(found_ND[:, _AT[name]] + shift * (2 * heavy_N - 1), -2.5, 2.5))
    put("beard", np.where(heavy_N > 0.5, 2.2 * chance("beard") - 1.2, -1))
    put("makeup", chance("makeup") * (1 - heavy_N))
    put("hair_length", np.where(heavy_N > 0.5, 1.2 * chance("hair_length") - 1.05, 1.4 * chance("hair_length") - 0.4))
    put(
        "hairline",
        np.where(heavy_N > 0.5, np.maximum(found_ND[:, _AT["hairline"]], -0.9), found_ND[:, _AT["hairline"]]),
    )
    _put_expressions(found_ND, chance_ND, feeling_N, strength_N)
    put("pitch", found_ND[:, _AT["pitch"]] * 6 / 8)
    put("roll", found_ND[:, _AT["roll"]] * 7 / 8)
    return found_ND.astype(np.float32)


def random_faces(seed: int, n: int) -> list[FaceParameters]:
    """The same, as named numbers."""
    return [FaceParameters.from_vector(vector_D) for vector_D in random_parameters(seed, n)]


def _put_expressions(
    found_ND: NDArray[np.float64],
    chance_ND: NDArray[np.float64],
    feeling_N: NDArray[np.float64],
    strength_N: NDArray[np.float64],
) -> None:
    for i, feeling in enumerate(FEELINGS):
        chosen = (feeling_N * 7 >= i) & (feeling_N * 7 < i + 1)
        found_ND[:, _AT[feeling]] = np.where(chosen, 0.3 + 0.7 * strength_N, 0.0)
    for action in _ACTIONS:
        found_ND[:, _AT[action]] *= 0.07
    speaks = chance_ND[:, _AT["blink"]] * 2 % 1 < 0.5
    for action, most in (("jaw_down", 0.35), ("lips_apart", 0.6), ("pucker", 0.5), ("stretch", 0.4)):
        spoken = np.maximum(0, 2 * chance_ND[:, _AT[action]] - 1) * most
        found_ND[:, _AT[action]] += np.where(speaks, spoken, 0)
    blink = chance_ND[:, _AT["blink"]]
    found_ND[:, _AT["blink"]] = np.where(blink > 0.95, 1.0, np.where(blink > 0.9, (blink - 0.9) * 16, 0.0))
    found_ND[:, _AT["gaze_x"]] *= 0.3
    found_ND[:, _AT["gaze_y"]] *= 0.15
