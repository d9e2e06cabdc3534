"""Several processes, one GPU each, training one network: started by torchrun, or one process alone.

Gradients are averaged by hand: the penalties need gradients of gradients, which torch's own wrapper does not promise.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from schemas.errors import WrongUse

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among `count`; number 0 writes the files."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """In place, in one message."""
        if self.count == 1:
            return
        slopes = []
        for p in parameters:
            if p.requires_grad:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                slopes.append(p.grad)
        flat = torch.cat([slope.flatten() for slope in slopes])
        dist.all_reduce(flat)
        flat /= self.count
        for slope, share in zip(slopes, torch.split(flat, [slope.numel() for slope in slopes]), strict=True):
            # Copied, not put in its place: fused Adam takes it for granted that slopes lie in memory as weights do.
            slope.copy_(share.reshape(slope.shape))

    def mean(self, value: Tensor) -> Tensor:
        """Over processes."""
        if self.count == 1:
            return value
        value = value.detach().clone()
        dist.all_reduce(value)
        return value / self.count

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """True everywhere as soon as it is true somewhere: all have to stop after the same step."""
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)


def join_ranks(device: str) -> Ranks:
    """Takes: `auto`, `cpu` or `cuda`; torchrun's RANK, LOCAL_RANK and WORLD_SIZE where it started us.

    Raises: WrongUse for cuda without one.
    """
    has_cuda = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise WrongUse(f"device {device}; give auto, cpu or cuda")
    if device == "cuda" and not has_cuda:
        raise WrongUse("device cuda: torch sees no GPU here; give cpu, or install a driver that fits this torch")
    cuda = has_cuda and device != "cpu"
    count = int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(place)
    if count > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return Ranks(rank=dist.get_rank() if count > 1 else 0, count=count, device=place)
