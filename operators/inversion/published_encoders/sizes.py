"""What a published encoder is, in numbers: told without torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PublishedSizes:
    """All that a network is built from."""

    backbone: Literal["ir-se50", "resnet34"]
    pyramid: bool  # three levels of features; else all styles come from the coarsest one
    deltas: bool  # styles after the first are added to it; else each stands for itself
    in_channels: int  # 3: the target; 6: the current reconstruction behind it
    width: int  # channels of the first convolution; published: 64
    num_ws: int
    w_dim: int

    @property
    def sees_reconstruction(self) -> bool:
        return self.in_channels == 6
