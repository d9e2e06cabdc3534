"""latentreel: movies into latent sequences. The names that a user imports; each is loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from operators.stylegan.checkpoint import load_generator
    from pipeline.read import Dataset
    from pipeline.read import open_dataset as open  # noqa: A004

__all__ = ["Dataset", "load_generator", "open"]

_HOMES = {
    "Dataset": ("pipeline.read", "Dataset"),
    "load_generator": ("operators.stylegan.checkpoint", "load_generator"),
    "open": ("pipeline.read", "open_dataset"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"latentreel has no {name}; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
