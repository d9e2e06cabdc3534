"""How the expression networks of the registry are fed and read: what their files do not say.

Source: EmotiEffLib (sb-ai-lab/EmotiEffLib, emotiefflib/facial_analysis.py): labels and their order, input of 224 px
(B0) or 260 px (B2), RGB in [0, 1] less ImageNet's mean, over its deviation, and logits; the networks trained on valence
and arousal too give those two behind the expressions. It cuts faces at the detector's box: no margin.

Contempt, the eighth expression, is none of EmoPy's. Its logit is left out before the softmax, so that probabilities are
those given that it is one of the seven: none of them gets contempt's share, which would be a guess at what it is like.
"""

from typing import Any

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

_SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_EIGHT = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_SEVEN_TO_EMOPY = (0, 1, 2, 3, 6, 4, 5)
_EIGHT_TO_EMOPY = (0, None, 1, 2, 3, 6, 4, 5)


def _network(size_px: int, labels: tuple[str, ...], to_emopy: tuple[int | None, ...]) -> dict[str, Any]:
    return {
        "size_px": size_px,
        "layout": "NCHW",
        "colour": "RGB",
        "mean": tuple(255 * mean for mean in _IMAGENET_MEAN),
        "scale": tuple(1 / (255 * deviation) for deviation in _IMAGENET_DEVIATION),
        "crop_margin": 0.0,
        "labels": labels,
        "to_emopy": to_emopy,
        "output": "logits",
    }


# By short name: an EmotionManifest, but for the sha256, since the file has been compared with the registry's sums.
PUBLISHED_NETWORKS: dict[str, dict[str, Any]] = {
    "enet-b0-8": _network(224, _EIGHT, _EIGHT_TO_EMOPY),
    "enet-b0-8-afew": _network(224, _EIGHT, _EIGHT_TO_EMOPY),
    "enet-b0-8-va": _network(224, (*_EIGHT, "valence", "arousal"), (*_EIGHT_TO_EMOPY, None, None)),
    "enet-b2-7": _network(260, _SEVEN, _SEVEN_TO_EMOPY),
    "enet-b2-8": _network(260, _EIGHT, _EIGHT_TO_EMOPY),
}
