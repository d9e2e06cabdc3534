"""Randomness that belongs to one step of one run, so that a resumed run draws what the killed one would have drawn."""

import hashlib

import torch


def step_source(purpose: str, seed: int, step: int, device: str = "cpu") -> torch.Generator:
    """A generator that depends on its arguments alone. Not promised: equal numbers on another kind of device."""
    digest = hashlib.sha256(f"{purpose} {seed} {step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7]))
