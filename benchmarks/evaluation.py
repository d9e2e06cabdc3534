"""What one evaluation of the generator costs, forward and back to the latent, with each way to make it faster.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluation --generator puppet-128 random-256
    python -m benchmarks.evaluation --device cuda --generator random-1024-f

All ways take turns in one process; features lie channels last where nothing else is said. cosine: of the slope to that
of the first way, the least of the batch. On a GPU also the share of its peak: multiplications and additions of the
generator's products, forward and back to the latent, per second, over what the maker gives for dense products of
bfloat16, for all rows alike. Compiling takes a minute or two for each compiled way and batch;
--plain leaves it out.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import describe_machine
from operators.inversion.encoder_header import NO_ENCODER
from operators.inversion.frame_loss import Targets
from operators.inversion.tools import InversionTools, inversion_tools
from operators.stylegan.checkpoint import load_generator
from schemas.config import InversionSettings

BATCHES = (1, 8, 16)
ROUNDS = {"cpu": 7, "cuda": 30}
BASE = "float32, channels first"
WARM_UP = 3  # CUDA graphs are recorded in the second and third call
# Dense bfloat16 products with float32 sums, in 1e12 a second, from NVIDIA's data sheets; a part of the device's name.
PEAKS = {
    "H200 NVL": 835.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "4090": 165.2,
}

Step = Callable[[], tuple[Tensor, Tensor]]


def main() -> None:
    """One table for each generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", nargs="+", default=["puppet-128", "random-256"])
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--plain", action="store_true", help="nothing compiled")
    asked = parser.parse_args()
    if asked.device == "cpu":
        torch.set_num_threads(1)
    peak = _peak(asked.device)
    print(f"{describe_machine()}, torch {torch.__version__}, {_device_name(asked.device, peak)}")
    for name in asked.generator:
        ways = _ways(name, asked.device, compiled=not asked.plain)
        print(f"\n{name}\n{'batch':>5}  {'way':26} {'ms a picture':>15} {'pictures/s':>10}  ratio  1 - cosine", end="")
        print("" if peak is None else "  of peak")
        for batch in asked.batch:
            _report(ways, batch, ROUNDS[asked.device], peak)


def _ways(name: str, device: str, *, compiled: bool) -> dict[str, InversionTools]:
    """The one that the others are compared with comes first."""
    settings = InversionSettings(encoder=NO_ENCODER, prior_samples=1000)  # neither is part of an evaluation
    ours = inversion_tools(load_generator(name), settings, device=device)
    first = replace(ours, generator=deepcopy(ours.generator).to(memory_format=torch.contiguous_format))
    ways = {
        BASE: first,
        "float32": ours,
        "bfloat16, channels first": replace(first, bfloat16=True),
        "bfloat16": replace(ours, bfloat16=True),
    }
    if compiled:
        ways["float32, compiled"] = replace(ours, compiler="inductor")
        ways["bfloat16, compiled"] = replace(ours, bfloat16=True, compiler="inductor")
    return ways


def _report(ways: dict[str, InversionTools], batch: int, rounds: int, peak: float | None) -> None:
    plain = ways[BASE]
    w_NLD, targets = _work(plain, batch)
    steps: dict[str, Step] = {way: _step(tools, w_NLD, targets) for way, tools in ways.items()}
    slopes: dict[str, Tensor] = {}
    for way, step in steps.items():
        for _ in range(WARM_UP):
            slopes[way] = step()[1]
    times_s: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, step in steps.items():
            times_s[way].append(_seconds(step, plain.device))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain.generator.synthesis(w_NLD)
    operations = 2 * counter.get_total_flops()  # as many again on the way back: weights are frozen
    base_s = statistics.median(times_s[BASE])
    for way, times in times_s.items():
        middle_s = statistics.median(times)
        cosines_N = torch.cosine_similarity(slopes[way].flatten(1).double(), slopes[BASE].flatten(1).double())
        cells = (
            f"{middle_s / batch * 1000:8.2f} ± {statistics.stdev(times) / batch * 1000:4.2f} {batch / middle_s:10.1f}"
        )
        share = "" if peak is None else f"  {operations / middle_s / (peak * 1e12):6.1%}"
        print(
            f"{batch:5}  {way:26} {cells}  {base_s / middle_s:4.2f}x  {1 - float(cosines_N.min()):10.1e}{share}",
            flush=True,
        )


def _work(tools: InversionTools, batch: int) -> tuple[Tensor, Targets]:
    """Latents, and pictures of other latents as their frames."""
    source = torch.Generator().manual_seed(0)
    z_2NZ = torch.randn(2, batch, tools.generator.z_dim, generator=source).to(tools.device)
    with torch.no_grad():
        w_NLD, other_NLD = (tools.generator.mapping(z_NZ, truncation_psi=0.7) for z_NZ in z_2NZ)
        return w_NLD, tools.loss.targets(tools.generator.synthesis(other_NLD).clamp(-1, 1))


def _step(tools: InversionTools, w_NLD: Tensor, targets: Targets) -> Step:
    return lambda: tools.evaluate(w_NLD, targets)


def _seconds(step: Step, device: torch.device) -> float:
    start_s = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start_s


def _peak(device: str) -> float | None:
    if device == "cpu":
        return None
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def _device_name(device: str, peak: float | None) -> str:
    if device == "cpu":
        return "1 thread"
    name = torch.cuda.get_device_name()
    return f"{name}, " + ("peak not in our list" if peak is None else f"peak {peak:g} TFLOPS, dense bfloat16")


if __name__ == "__main__":
    main()
