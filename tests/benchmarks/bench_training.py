"""Speed of the training loops at `small`: pictures a second, where the time goes, peak memory.

    make bench        writes results/speed/training.json

Each loop runs in a process of its own, so that its peak memory is its own. A step's seconds are
split into its phases; penalties count with the share of steps that take them.
"""

import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from xfer.instruments import FaceRecogniser, FactorReader, Instruments
from xfer.runs import environment, read_json, write_json
from xfer.stylegan2.generator import Generator
from xfer.training import config
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.instrument_config import READER_PRESETS, RECOGNISER_PRESETS
from xfer.training.train_autoencoder import AUTOENCODER_PRESETS, AutoencoderTrainer
from xfer.training.train_generator import GeneratorTrainer
from xfer.training.train_inverter import INVERTER_PRESETS, InverterTrainer

RESULTS = Path(__file__).resolve().parents[2] / "results" / "speed" / "training.json"
REPEATS = 3

pytestmark = pytest.mark.benchmark
Phases = dict[str, tuple[Callable[[], object], float]]
"""What a step consists of: a call, and the share of steps that make it."""


def frames() -> FrameArray:
    pictures = np.random.default_rng(0).integers(0, 255, (256, 64, 64, 3), dtype=np.uint8)
    return FrameArray(pictures)


def recogniser() -> FaceRecogniser:
    return FaceRecogniser(RECOGNISER_PRESETS["small"].recogniser).eval()


def generator(critic: str) -> tuple[int, Phases]:
    plain = critic == "plain"
    changes = {} if plain else {"critic": critic, "augment": True, "critic_width": 32}
    chosen = config.preset(config.GENERATOR_PRESETS, "small", **changes)
    bodies = [] if plain else [recogniser().backbone, reader().backbone]
    trainer, pictures = GeneratorTrainer(chosen, World(), bodies), frames()
    real = trainer.real(0, pictures)

    def critic_step() -> None:
        trainer.discriminator.requires_grad_(True)
        trainer.critic_loss(0, real)[0].backward()

    def generator_step() -> None:
        trainer.discriminator.requires_grad_(False)
        trainer.generator_loss(0)[0].backward()

    def penalty() -> None:
        trainer.discriminator.requires_grad_(True)
        trainer.r1_loss(real)[0].backward()

    phases: Phases = {
        "data": (lambda: trainer.real(0, pictures), 1.0),
        "critic": (critic_step, 1.0),
        "generator": (generator_step, 1.0),
        "optimisers": (lambda: _optimise(trainer), 1.0),
    }
    if plain:
        phases["r1"] = (penalty, 1 / chosen.r1_interval)
        phases["path length"] = (
            lambda: trainer.path_loss(0)[0].backward(),
            1 / chosen.path_interval,
        )
    return chosen.batch, phases


def _optimise(trainer: GeneratorTrainer) -> None:
    trainer.g_optimiser.step()
    trainer.d_optimiser.step()
    trainer.average(0)


def reader() -> FactorReader:
    return FactorReader(READER_PRESETS["small"].reader)


def instrument(kind: str) -> tuple[int, Phases]:
    network, batch = (reader() if kind == "reader" else recogniser()).train(), 64
    pictures = frames()
    images = pictures.at(list(range(batch)))
    learn = network.standardised if kind == "reader" else network
    return batch, {
        "data": (lambda: pictures.at(list(range(batch))), 1.0),
        "network": (lambda: learn(images).square().sum().backward(), 1.0),
    }


def instruments() -> Instruments:
    return Instruments(reader(), recogniser(), "loss", {})


def autoencoder() -> tuple[int, Phases]:
    chosen, pictures = AUTOENCODER_PRESETS["small"], frames()
    trainer = AutoencoderTrainer(chosen, instruments(), World())
    images = pictures.at(list(range(chosen.batch)))
    return chosen.batch, {
        "data": (lambda: pictures.at(list(range(chosen.batch))), 1.0),
        "networks": (lambda: trainer.loss(0, images, 0)[0].backward(), 1.0),
        "optimiser": (trainer.optimiser.step, 1.0),
    }


def inverter() -> tuple[int, Phases]:
    chosen, pictures = INVERTER_PRESETS["small"], frames()
    drawer = Generator(config.GENERATOR_PRESETS["small"].generator)
    trainer = InverterTrainer(chosen, drawer, instruments(), World())
    wanted = trainer.wanted(0, pictures)
    start = trainer.encoder.start(trainer.generator, len(wanted.images))

    def one_round() -> None:
        found, drawn = trainer.round(wanted, *start)
        trainer.round_loss(wanted, found, drawn)[0].backward()

    return chosen.batch, {
        "data and targets": (lambda: trainer.wanted(0, pictures), 1.0),
        "rounds": (one_round, float(chosen.rounds)),
        "optimiser": (trainer.optimiser.step, float(chosen.rounds)),
    }


LOOPS = {
    "generator, plain critic": (generator, ["plain"]),
    "generator, projected critic": (generator, ["projected"]),
    "warm start": (autoencoder, []),
    "reader": (instrument, ["reader"]),
    "recogniser": (instrument, ["recogniser"]),
    "inverter": (inverter, []),
}


def measure(name: str) -> dict[str, object]:
    """Seconds of every phase of a step, pictures a second, peak memory of this process."""
    build, arguments = LOOPS[name]
    batch, phases = build(*arguments)
    seconds = {phase: share * _seconds(call) for phase, (call, share) in phases.items()}
    return {
        "pictures_a_second": round(batch / sum(seconds.values()), 1),
        "seconds_a_step": {phase: round(spent, 4) for phase, spent in seconds.items()},
        "batch": batch,
        "peak_mib": _peak_mib(),
        "threads": torch.get_num_threads(),
    }


def _seconds(call: Callable[[], object]) -> float:
    """The best of a few, after one to warm up."""
    call()
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return min(found)


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
    found = read_json(RESULTS)["loops"] if RESULTS.exists() else {}
    write_json(RESULTS, {"loops": found | {name: row}} | environment())
