"""The generator against the way published PyTorch code runs it: time, import, loading, memory.

    python -m benchmarks.generator            # about 12 minutes on two cores, 12 GB of memory
    python -m benchmarks.generator --device cuda

Both forms run in one process, in turn, on the same weights and latents, after a round that warms up and proves that
they agree. The reference (grouped_generator.py) is what stylegan2-ada-pytorch runs in float32 without its extensions.
On a GPU the same table, then bf16: pictures a second, and the share of what a large matrix product reaches there.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.grouped_generator import grouped_synthesis
from benchmarks.machine import describe_machine
from operators.stylegan.checkpoint import load_generator, save_generator
from operators.stylegan.generator import Generator
from tests.reference.checkpoint_files import write_nvidia, write_rosinality

RESOLUTIONS = (64, 256, 1024)  # config-f: 512 channels up to 64 px, 32 at 1024
BATCHES = (1, 4, 8)
ROUNDS = {64: 7, 256: 3, 1024: 3}  # medians; a round at 1024 px takes a minute and a half
BYTES_PER_PIXEL = {True: 2700, False: 1000}  # of the reference, with slopes and without: how much memory a batch needs


def main() -> None:
    """Print one row per size, batch and direction, then import and loading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = torch.device(parser.parse_args().device)
    print(f"{describe_machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads, {_name(device)}")
    print(f"{'float32, ms':22} {'batch':>5} {'grouped':>18} {'ours':>18}  ratio")
    for resolution in RESOLUTIONS:
        generator = load_generator(f"random-{resolution}-f").to(device)
        for batch in BATCHES:
            for with_slope in (False, True):
                _compare(generator, batch, with_slope=with_slope)
    if device.type == "cuda":
        _half_precision(device)
    _import_time()
    with tempfile.TemporaryDirectory() as folder:
        _loading(Path(folder))


def _compare(generator: Generator, batch: int, *, with_slope: bool) -> None:
    name = f"{generator.resolution} px, {'and slope to W+' if with_slope else 'forward'}"
    if (lacking_gb := _lacking_gb(generator.resolution**2 * batch * BYTES_PER_PIXEL[with_slope])) > 0:
        print(f"{name:22} {batch:5} {f'lacks {lacking_gb:.0f} GB':>18}", flush=True)
        return
    w_NLD = torch.randn(batch, generator.num_ws, 512, generator=torch.Generator().manual_seed(0))
    w_NLD = (0.5 * w_NLD).to(next(generator.parameters()).device)  # within what a mapping network gives
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "grouped": lambda w: grouped_synthesis(generator, w),
        "ours": generator.synthesis,
    }
    times_ms: dict[str, list[float]] = {form: [] for form in forms}
    first: list[Tensor] = []
    for round_index in range(ROUNDS[generator.resolution] + 1):
        for form, synthesis in forms.items():
            result, took_ms = _timed(synthesis, w_NLD, with_slope=with_slope)
            if round_index > 0:
                times_ms[form].append(took_ms)
            else:
                first.append(result)
    error = float((first[0] - first[1]).norm() / first[0].norm())
    if not (math.isfinite(error) and error < 1e-2):  # a ReLU at 0 may round to either side, which slopes feel
        raise RuntimeError(f"{name}: the two forms differ by {error:.1e}, so their times say nothing")
    medians = {form: statistics.median(times) for form, times in times_ms.items()}
    cells = [f"{medians[form]:9.1f} ± {statistics.stdev(times):6.1f}" for form, times in times_ms.items()]
    print(f"{name:22} {batch:5} {cells[0]:>18} {cells[1]:>18}  {medians['grouped'] / medians['ours']:.2f}x", flush=True)


def _timed(synthesis: Callable[[Tensor], Tensor], w_NLD: Tensor, *, with_slope: bool) -> tuple[Tensor, float]:
    _finish(w_NLD.device)
    start_s = time.perf_counter()
    if with_slope:
        varied = w_NLD.clone().requires_grad_(True)
        (result,) = torch.autograd.grad(synthesis(varied).square().mean(), varied)
    else:
        with torch.no_grad():
            result = synthesis(w_NLD)
    _finish(w_NLD.device)
    return result, (time.perf_counter() - start_s) * 1000


def _half_precision(device: torch.device) -> None:
    """bf16 under autocast, as inversion on a GPU runs."""
    n = 8192
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    peak = 2 * n**3 / _seconds(lambda: a @ a, device)
    print(f"\nbf16; a product of {n} x {n} matrices reaches {peak / 1e12:.0f} TFLOP/s here")
    print(f"{'':22} {'batch':>5} {'pictures/s':>12} {'TFLOP/s':>9}  share of that product")
    for resolution in RESOLUTIONS:
        generator = load_generator(f"random-{resolution}-f").to(device)
        for batch in (*BATCHES, 32):
            for with_slope in (False, True):
                w_NLD = torch.randn(batch, generator.num_ws, 512, device=device, requires_grad=with_slope)

                def step(
                    generator: Generator = generator, w_NLD: Tensor = w_NLD, with_slope: bool = with_slope
                ) -> None:
                    with nullcontext() if with_slope else torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
                        loss = generator.synthesis(w_NLD).square().mean()
                    if with_slope:
                        torch.autograd.grad(loss, w_NLD)

                with FlopCounterMode(display=False) as counter:
                    step()
                took_s = _seconds(step, device)
                rate = counter.get_total_flops() / took_s
                name = f"{resolution} px, {'and slope to W+' if with_slope else 'forward'}"
                print(f"{name:22} {batch:5} {batch / took_s:12.1f} {rate / 1e12:9.1f}  {rate / peak:.0%}", flush=True)


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    for _ in range(3):
        step()
    times = []
    for _ in range(10):
        _finish(device)
        start_s = time.perf_counter()
        step()
        _finish(device)
        times.append(time.perf_counter() - start_s)
    return statistics.median(times)


def _import_time() -> None:
    """Each import in a new process; what torch alone takes is left out."""
    code = (
        "import time; import torch; start = time.perf_counter(); import operators.stylegan.checkpoint; "
        "print(time.perf_counter() - start)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)]
    print(f"\nimport of operators.stylegan.checkpoint, beyond torch: {statistics.median(times):.2f} s")


def _loading(folder: Path) -> None:
    """A generator of 1024 px from each kind of file: seconds, and the most memory meanwhile over its size."""
    generator = load_generator("random-1024-f")
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in generator.state_dict().values())
    save_generator(generator, str(folder / "g.safetensors"))
    write_nvidia(folder / "g.pkl", generator)
    write_rosinality(folder / "g.pt", generator)
    write_rosinality(folder / "legacy.pt", generator, legacy=True)
    del generator
    print(f"loading 1024 px, config-f, {n_bytes / 1e6:.0f} MB of weights: seconds; peak of new memory over that size")
    for path in sorted(folder.iterdir()):
        code = (
            "import sys, time, torch; from operators.stylegan.checkpoint import load_generator\n"
            "def kb(key): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(key))\n"
            "torch.ones(8) @ torch.ones(8); open('/proc/self/clear_refs', 'w').write('5'); before = kb('VmRSS')\n"
            "start = time.perf_counter(); g = load_generator(sys.argv[1]); took = time.perf_counter() - start\n"
            "print(took, (kb('VmHWM') - before) * 1024)"
        )
        runs = [
            tuple(map(float, subprocess.check_output([sys.executable, "-c", code, str(path)]).split()))
            for _ in range(3)
        ]
        took_s, peak = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"  {path.name:14} {path.stat().st_size / 1e6:5.0f} MB {took_s:5.2f} s   {peak / n_bytes:.2f}x")


def _lacking_gb(n_bytes: int) -> float:
    available_kb = next(
        int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line
    )
    return (n_bytes - available_kb * 1024) / 1e9


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
