"""Names of NVIDIA's code, as empty things, while a pickle that mentions them is written."""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def named_modules(*names: str) -> Iterator[None]:
    """Modules by these names, in which pickle finds what it writes the names of, for as long as it writes."""
    added = {}
    for name in names:
        for i in range(1, len(name.split(".")) + 1):
            part = ".".join(name.split(".")[:i])
            added[part] = types.ModuleType(part)
    for module, name in (
        ("torch_utils.persistence", "_reconstruct_persistent_obj"),
        ("dnnlib.util", "EasyDict"),
        ("dnnlib.tflib.network", "Network"),
    ):
        if module in added:
            bases: tuple[type, ...] = (dict,) if name == "EasyDict" else ()
            setattr(added[module], name, type(name, bases, {"__module__": module, "__qualname__": name}))
    before = {name: sys.modules.get(name) for name in added}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name, module_before in before.items():
            if module_before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module_before


def easy_dict(**items: Any) -> Any:
    return sys.modules["dnnlib.util"].EasyDict(items)
