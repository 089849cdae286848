"""Speed of synthesis: the textbook form, ours plain and ours prepared, in one run on one machine.

    make bench        writes results/speed/synthesis.json and .md

Full config-F widths, random weights N(0, 1) under equalised learning rate, biases and noise
strengths N(0, 0.1).
"""

import functools
import itertools
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from textbook import synthesis as textbook

from xfer.precision import has_fast_bfloat16
from xfer.runs import environment, read_json, write_json
from xfer.stylegan2.generator import Generator, GeneratorConfig

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed"
FORMS = ("textbook", "plain", "prepared", "prepared bf16")


@functools.lru_cache(maxsize=1)
def generator(resolution: int) -> Generator:
    torch.manual_seed(0)
    g = Generator(GeneratorConfig(resolution=resolution)).eval().requires_grad_(False)
    for layer in (*g.layers, *g.to_rgb):
        layer.bias.normal_(std=0.1)
    for layer in g.layers:
        layer.noise_strength.normal_(std=0.1)
    return g


def draw(form: str, resolution: int, batch: int):
    """A function that draws a batch in one of the forms."""
    g = generator(resolution)
    w_plus = g.to_w_plus(g.mapping(torch.randn(batch, 512, generator=torch.manual_seed(1))))
    if form == "textbook":
        return lambda: textbook(g, w_plus)
    if form == "plain":
        return lambda: torch.no_grad()(g.synthesis)(w_plus)
    fast = g.prepare(torch.bfloat16 if "bf16" in form else torch.float32)
    return lambda: fast.synthesis(w_plus)


@functools.lru_cache(maxsize=1)
def reference(resolution: int, batch: int) -> torch.Tensor:
    """The textbook's pictures."""
    return draw("textbook", resolution, batch)()


def peak_mib(form: str, resolution: int, batch: int) -> float:
    """Peak memory of a process that does nothing but draw one batch."""
    draw(form, resolution, batch)()
    status = Path("/proc/self/status")  # the usual getrusage counts the parent's memory too
    if not status.exists():
        return float("nan")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _in_child(*arguments) -> float:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_mib, arguments)


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("resolution", "batch", "form"), list(itertools.product([256, 1024], [1, 8], FORMS))
)
def test_synthesis(benchmark, resolution, batch, form):
    if "bf16" in form and not has_fast_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16 instructions")
    call = draw(form, resolution, batch)
    warm = {"rounds": 3, "warmup_rounds": 1} if batch == 1 else {"rounds": 1}
    image = benchmark.pedantic(call, **warm)
    exact = image if form == "textbook" else reference(resolution, batch)
    error = (image - exact).square().mean()
    peak_to_peak = (exact.max() - exact.min()).square()
    record(
        form=form,
        resolution=resolution,
        batch=batch,
        seconds=benchmark.stats.stats.min,
        psnr_db=float(10 * torch.log10(peak_to_peak / error.clamp(min=1e-20))),
        peak_mib=_in_child(form, resolution, batch),
    )


def record(**row) -> None:
    """Put a measurement in place of the one before, and write the table anew."""
    path = RESULTS / "synthesis.json"
    rows = read_json(path)["rows"] if path.exists() else []
    key = lambda r: (r["resolution"], r["batch"], FORMS.index(r["form"]))
    rows = sorted([r for r in rows if key(r) != key(row)] + [row], key=key)
    write_json(path, {"rows": rows, "threads": torch.get_num_threads()} | environment())
    (RESULTS / "synthesis.md").write_text(table(rows))


def table(rows: list[dict]) -> str:
    """The measurements as Markdown, with the gain over the textbook form."""
    base = {(r["resolution"], r["batch"]): r["seconds"] for r in rows if r["form"] == FORMS[0]}
    lines = [
        "| px | batch | form | s | times faster | dB against textbook | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        gain = base.get((r["resolution"], r["batch"]), float("nan")) / r["seconds"]
        lines.append(
            f"| {r['resolution']} | {r['batch']} | {r['form']} | {r['seconds']:.2f} | {gain:.1f} "
            f"| {r['psnr_db']:.0f} | {r['peak_mib']:.0f} |"
        )
    return "\n".join(lines) + "\n"
