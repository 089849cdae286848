"""Speed of the training loops at `small`: pictures a second, where the time goes, peak memory.

    make bench        writes results/speed/training.json

The loops themselves run, for some steps to warm up and for as many that count, with a stopwatch at
their parts. Each runs in a process of its own, so that its peak memory is its own.
"""

import dataclasses
import functools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_frames import make_frames

from xfer.encoders import IdentityEncoder
from xfer.instruments import MOTION_FACTORS, FaceRecogniser, FactorReader, Instruments
from xfer.precision import half_dtype
from xfer.runs import environment, read_json, write_json
from xfer.stylegan2.generator import Generator
from xfer.training import config, train_instruments
from xfer.training.frames import FrameArray
from xfer.training.instrument_config import READER_PRESETS, RECOGNISER_PRESETS
from xfer.training.redrawing import Refinding
from xfer.training.session import Session
from xfer.training.train_autoencoder import (
    AUTOENCODER_PRESETS,
    AutoencoderTrainer,
    train_autoencoder,
)
from xfer.training.train_generator import GeneratorTrainer, train_generator
from xfer.training.train_inverter import INVERTER_PRESETS, InverterTrainer, train_inverter
from xfer.training.train_transfer import TRANSFER_PRESETS, TransferTrainer, train_transfer
from xfer.training.transfer_clips import PeopleCast, TransferClips
from xfer.training.world_frames import WorldFrames

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed" / "training.json"
STEPS = 16
"""So many warm up, so many count: every lazy penalty is taken as often as in a long run."""
PEOPLE, FRAMES = 64, 4

pytestmark = pytest.mark.benchmark

GAMES = {
    "plain": {},
    "projected": {
        "critic": "projected", "augment": True, "critic_width": 32, "r1_interval": 0,
        "path_interval": 0,
    },
    "anchored": {
        "critic": "normed", "critic_width": 48, "critic_learning_rate": 1e-4, "batch": 32,
        "anchor": 40.0, "anchor_in": "w_plus", "anchor_learning_rate": 2e-4, "redrawn_game": 1.0,
        "game_interval": 4, "r1_interval": 0, "path_interval": 0, "style_mixing": 0.5,
        "beta1": 0.5, "flip": True,
    },
}  # fmt: skip
"""Settings of the generator's loop; the last are those of `results/runs/small_rejoined`."""

PARTS = [
    (FrameArray, "at", "data"),
    (FrameArray, "pictures", "data"),
    (TransferClips, "draw", "data"),
    (GeneratorTrainer, "real", "data"),
    (GeneratorTrainer, "redraw", "redrawing"),
    (GeneratorTrainer, "critic_loss", "critic"),
    (GeneratorTrainer, "r1_loss", "r1"),
    (GeneratorTrainer, "anchored_loss", "generator"),
    (GeneratorTrainer, "path_loss", "path length"),
    (GeneratorTrainer, "average", "optimiser"),
    (AutoencoderTrainer, "loss", "networks"),
    (train_instruments, "roughened", "roughening"),
    (train_instruments.ReaderTrainer, "loss", "network"),
    (train_instruments.RecogniserTrainer, "loss", "network"),
    (InverterTrainer, "wanted", "targets"),
    (InverterTrainer, "round", "rounds"),
    (InverterTrainer, "round_loss", "rounds"),
    (TransferTrainer, "loss", "networks"),
    (Session, "update", None),
    (torch.optim.Adam, "step", "optimiser"),
]
"""Calls that loops make, and what they are counted as; None: as the part before, whose loss is
differentiated there (redrawing's is with the generator's)."""
OTHERWISE = "rest"


class Stopwatch:
    """Seconds by part; the time of a call inside another one is the inner one's."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._part = self._before = OTHERWISE
        self._since = time.perf_counter()

    def restart(self) -> None:
        """Forget what was measured."""
        self._turn_to(self._part)
        self.seconds.clear()

    def read(self) -> dict[str, float]:
        """Seconds since the last restart."""
        self._turn_to(self._part)
        return dict(self.seconds)

    def watch(self, owner: Any, name: str, part: str | None) -> None:
        """Measure every call of a function from now on."""
        call = getattr(owner, name)

        @functools.wraps(call)
        def timed(*args: Any, **options: Any) -> Any:
            outer = self._turn_to(part or self._before)
            try:
                return call(*args, **options)
            finally:
                self._before = self._turn_to(outer)

        setattr(owner, name, timed)

    def _turn_to(self, part: str) -> str:
        """Let time count for another part; returns the one before."""
        now = time.perf_counter()
        self.seconds[self._part] += now - self._since
        before, self._part, self._since = self._part, part, now
        return before


Records = Iterator[dict[str, Any]]


def some_steps(chosen: Any) -> Any:
    """The configuration with a record after the steps that warm up and one after those that count;
    nothing is saved between."""
    kimg = STEPS * chosen.batch / 1000
    return dataclasses.replace(chosen, total_kimg=2 * kimg, tick_kimg=kimg, save_kimg=2 * kimg)


def frames() -> FrameArray:
    shape = (PEOPLE * FRAMES, 64, 64, 3)
    return FrameArray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8))


def drawer() -> Generator:
    return Generator(config.GENERATOR_PRESETS["small"].generator)


def instruments() -> Instruments:
    reader = FactorReader(READER_PRESETS["small"].reader).eval()
    recogniser = FaceRecogniser(RECOGNISER_PRESETS["small"].recogniser).eval()
    return Instruments(reader, recogniser, "loss", {})


def generator(folder: Path, game: str) -> tuple[int, Records]:
    chosen = config.preset(config.GENERATOR_PRESETS, "small", **GAMES[game])
    measure, redrawing = instruments(), None
    if chosen.anchor:
        encoder = IdentityEncoder(INVERTER_PRESETS["small"].encoder)
        half = half_dtype(chosen.half, torch.device("cpu"))
        redrawing = Refinding(encoder, measure.look(chosen.look), half=half)
    bodies = [part.backbone for part in measure.networks]
    records = train_generator(
        some_steps(chosen), frames(), folder, bodies=bodies, redrawing=redrawing
    )
    return chosen.batch, records


def warm_start(folder: Path) -> tuple[int, Records]:
    chosen = AUTOENCODER_PRESETS["small"]
    return chosen.batch, train_autoencoder(some_steps(chosen), frames(), instruments(), folder)


def instrument(folder: Path, kind: str) -> tuple[int, Records]:
    chosen = {"reader": READER_PRESETS, "recogniser": RECOGNISER_PRESETS}[kind]["small"]
    known = WorldFrames(make_frames(folder / "frames", PEOPLE, FRAMES, 64, factors=MOTION_FACTORS))
    records = train_instruments.train_instrument(some_steps(chosen), known, folder / "run")
    return chosen.batch, records


def inverter(folder: Path) -> tuple[int, Records]:
    chosen = INVERTER_PRESETS["small"]
    records = train_inverter(some_steps(chosen), frames(), drawer(), instruments(), folder)
    return chosen.batch, records


def transfer(folder: Path) -> tuple[int, Records]:
    chosen, pictures, draws = TRANSFER_PRESETS["small"], frames(), drawer()
    shape = (len(pictures), draws.n_styles, draws.w_dim)
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    cast = PeopleCast(pictures, np.arange(len(pictures)) // FRAMES)
    clips = TransferClips(pictures, cast, latents)
    return chosen.batch, train_transfer(some_steps(chosen), clips, draws, instruments(), folder)


LOOPS: dict[str, Callable[[Path], tuple[int, Records]]] = {
    "generator, plain critic": functools.partial(generator, game="plain"),
    "generator, projected critic": functools.partial(generator, game="projected"),
    "generator, normed critic and anchor": functools.partial(generator, game="anchored"),
    "warm start": warm_start,
    "reader": functools.partial(instrument, kind="reader"),
    "recogniser": functools.partial(instrument, kind="recogniser"),
    "inverter": inverter,
    "transfer": transfer,
}


def measure(name: str) -> dict[str, object]:
    """Seconds of every part of a step, pictures a second, peak memory of this process."""
    watch = Stopwatch()
    for part in PARTS:
        watch.watch(*part)
    with tempfile.TemporaryDirectory() as folder:
        batch, records = LOOPS[name](Path(folder))
        next(records)
        watch.restart()
        next(records)
        seconds = watch.read()
        records.close()
    of_a_step = {part: round(spent / STEPS, 4) for part, spent in seconds.items()}
    return {
        "pictures_a_second": round(STEPS * batch / sum(seconds.values()), 1),
        "seconds_a_step": {part: spent for part, spent in of_a_step.items() if spent},
        "batch": batch,
        "peak_mib": _peak_mib(),
        "threads": torch.get_num_threads(),
    }


def _peak_mib() -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


@pytest.mark.parametrize("name", LOOPS)
def test_training(name):
    with get_context("spawn").Pool(1) as pool:
        row = pool.apply(measure, [name])
    rows = (read_json(RESULTS)["loops"] if RESULTS.exists() else {}) | {name: row}
    write_json(
        RESULTS, {"loops": {loop: rows[loop] for loop in LOOPS if loop in rows}} | environment()
    )
