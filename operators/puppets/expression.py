"""From feelings to facial actions, and which feeling a face shows.

The actions of each feeling follow Ekman, Friesen, Hager 2002, Facial Action Coding System, Investigator's Guide, table
10-1 (prototypes); their strengths are ours.
"""

from dataclasses import dataclass, fields

from operators.puppets.parameters import Expression
from schemas.emotions import EMOTIONS

FEELINGS = EMOTIONS[:6]
NEUTRAL = EMOTIONS.index("neutral")


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Strength of each facial action, 0 to 1 (a little more and less is allowed), fields as in Expression."""

    inner_brow_up: float
    outer_brow_up: float
    brow_down: float
    lid_up: float
    cheek_up: float
    lid_tight: float
    nose_wrinkle: float
    upper_lip_up: float
    corner_up: float
    corner_down: float
    chin_up: float
    pucker: float
    stretch: float
    lip_tight: float
    lips_apart: float
    jaw_down: float
    blink: float
    gaze_x: float
    gaze_y: float


_PROTOTYPES: dict[str, dict[str, float]] = {
    "anger": {"brow_down": 1.0, "lid_up": 0.35, "lid_tight": 0.7, "lip_tight": 1.0, "chin_up": 0.4, "corner_down": 0.2},
    "disgust": {
        "nose_wrinkle": 1.0, "upper_lip_up": 0.9, "brow_down": 0.45, "cheek_up": 0.4, "lid_tight": 0.4,
        "corner_down": 0.3, "lips_apart": 0.35,
    },
    "fear": {
        "inner_brow_up": 0.9, "outer_brow_up": 0.35, "brow_down": 0.3, "lid_up": 1.0, "stretch": 1.0,
        "lips_apart": 0.8, "jaw_down": 0.15, "corner_down": 0.25,
    },
    "happiness": {"cheek_up": 0.8, "corner_up": 1.0, "lips_apart": 0.6, "lid_tight": 0.15},
    "sadness": {
        "inner_brow_up": 1.0, "brow_down": 0.3, "corner_down": 1.0, "chin_up": 0.5, "lid_up": -0.35, "lid_tight": 0.15,
    },
    "surprise": {"inner_brow_up": 1.0, "outer_brow_up": 1.0, "lid_up": 0.9, "jaw_down": 0.8, "lips_apart": 0.5},
}  # fmt: skip


def actions_of(expression: Expression) -> Actions:
    """The feelings' actions, each as strong as the feeling, and the single actions on top."""
    total = {field.name: getattr(expression, field.name) for field in fields(Actions)}
    for feeling in FEELINGS:
        for action, strength in _PROTOTYPES[feeling].items():
            total[action] += getattr(expression, feeling) * strength
    signed = ("gaze_x", "gaze_y", "lid_up", "corner_up", "inner_brow_up", "outer_brow_up")
    return Actions(**{name: min(max(v, -1.0 if name in signed else 0.0), 1.2) for name, v in total.items()})


def shown_emotion(expression: Expression) -> tuple[int, float]:
    """EmoPy's id of the strongest feeling and its strength; below 1/3 neutral, as strong as 1 - twice that.

    So a face that goes from one feeling to another through a blank face is neutral in between, and the two ends of
    each change have low intensity.
    """
    strengths = [getattr(expression, feeling) for feeling in FEELINGS]
    strongest = max(range(len(strengths)), key=strengths.__getitem__)
    neutral = 1 - 2 * strengths[strongest]
    if neutral > strengths[strongest]:
        return NEUTRAL, neutral
    return strongest, strengths[strongest]
