"""Settings of a training run from what a user gave: unknown names, wrong types and values out of range in one line."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from schemas.errors import WrongUse

Settings = TypeVar("Settings")


def changed(defaults: Settings, given: Mapping[str, Any]) -> Settings:
    """Takes: a frozen dataclass of numbers and truth values; new ones by name, None where none was given."""
    known: dict[str, Any] = {field.name: getattr(defaults, field.name) for field in fields(defaults)}  # type: ignore[arg-type]
    new = {}
    for name, value in given.items():
        if name not in known:
            raise WrongUse(f"setting {name}: unknown; give {', '.join(known)}")
        if value is None:
            continue
        wanted = type(known[name])
        new[name] = float(value) if wanted is float and type(value) is int else value
        if type(new[name]) is not wanted:  # bool is an int, so not isinstance
            raise WrongUse(f"setting {name} = {value!r}; give a {wanted.__name__}")
    return replace(defaults, **new)  # type: ignore[type-var]


def require_within(settings: Any, low: float, high: float, *names: str) -> None:
    """Raises: WrongUse naming the first setting that lies outside, or is no number."""
    for name in names:
        if not low <= (value := getattr(settings, name)) <= high:
            allowed = f"at least {low:g}" if high == math.inf else f"{low:g} to {high:g}"
            raise WrongUse(f"setting {name} = {value}; give {allowed}")
