"""What every group of settings is: frozen, and without names that nobody knows."""

from pydantic import BaseModel, ConfigDict


class FrozenSettings(BaseModel):
    """A group of settings, checked when it is built."""

    model_config = ConfigDict(frozen=True, extra="forbid")
