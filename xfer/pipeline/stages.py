"""The stages of a pipeline: which recipe makes what from what, and its share of the time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xfer.evaluate import command
from xfer.pipeline.ledger import Ledger
from xfer.pipeline.rendering import fastest_renderer, plan, render_sets
from xfer.training import config, instrument_recipes, inverter_recipes, recipes, transfer_recipes
from xfer.training.config import GENERATOR_PRESETS
from xfer.training.distributed import best_device
from xfer.training.instrument_config import READER_PRESETS
from xfer.training.latents import invert_frames
from xfer.training.train_autoencoder import AUTOENCODER_PRESETS
from xfer.training.train_controls import train_controls
from xfer.training.train_inverter import INVERTER_PRESETS
from xfer.training.train_transfer import TRANSFER_PRESETS

PRESETS = {
    "loss": READER_PRESETS, "judge": READER_PRESETS, "warm_start": AUTOENCODER_PRESETS,
    "generator": GENERATOR_PRESETS, "inverter": INVERTER_PRESETS, "together": GENERATOR_PRESETS,
    "transfer": TRANSFER_PRESETS,
}  # fmt: skip
UNTIL_TIME_IS_UP = {"generator", "inverter", "together", "transfer"}
"""Stages that use all of their time; the others end at their preset's pictures, or before."""
GAMES = {
    "generator": ("anchor=20", "path_interval=0", "learning_rate=1e-3", "critic_first_kimg=2"),
    "together": (
        "anchor=40", "anchor_in=w_plus", "anchor_learning_rate=3e-4", "redrawn_game=1",
        "game_interval=4",
        "learning_rate=1e-3", "beta1=0.5", "path_interval=0", "style_mixing=0.5", "batch=32",
        "critic=normed", "critic_width=48", "critic_learning_rate=1e-4", "r1_interval=0",
    ),
}  # fmt: skip
"""Settings of the two games: against StyleGAN2's critic from the warm start on, then against a
normed one, with the inverter learning beside."""
GPU_BATCH = {"nano": 4, "small": 4, "medium": 2}
"""How many times the preset's batch keeps a GPU busy; ticks and saves are as much rarer."""
PICTURES = 8000
"""That controls are learned from, at most."""
MOST_JUDGED = 100
"""People on whom the model is judged, at most."""


@dataclass(frozen=True)
class Work:
    """What every stage needs to know."""

    out: Path
    preset: str
    device: str
    seed: int
    settings: dict[str, list[str]]
    """Changes of settings by stage, as key=value."""
    ledger: Ledger

    @property
    def size(self) -> int:
        """Edge of all pictures in pixels."""
        chosen = config.preset(GENERATOR_PRESETS, self.preset, **self._changes("generator"))
        return chosen.generator.resolution

    def run(self, stage: str) -> Path:
        """The folder of a stage's run."""
        return self.out / "runs" / stage

    def frames(self, name: str) -> Path:
        """The folder of a set of frames."""
        return self.out / "frames" / name

    def file(self, name: str) -> Path:
        """What a stage has exported."""
        return self.out / f"{name}.safetensors"

    def common(self, stage: str) -> dict[str, Any]:
        """The arguments that all recipes share."""
        return {
            "preset": self.preset, "settings": self.chosen(stage), "device": self.device,
            "hours": self.ledger.left(stage) / 3600,
        }  # fmt: skip

    def chosen(self, stage: str) -> list[str]:
        """Settings of a stage: those of this device and task, and the caller's over them."""
        chosen = list(GAMES.get(stage, ()))
        if stage in UNTIL_TIME_IS_UP:
            chosen.append("total_kimg=1000000")
        # Decided once: a run keeps its batch, also where it goes on without the GPU it began on.
        device = self.ledger.notes.get("device") or self.ledger.note(
            "device", best_device(self.device).type
        )
        if device == "cuda":
            row, times = PRESETS[stage][self.preset], GPU_BATCH[self.preset]
            for name in ("batch", "tick_kimg", "save_kimg", "sheet_kimg"):
                if hasattr(row, name):
                    chosen.append(f"{name}={getattr(row, name) * times}")
        return chosen + self.settings.get(stage, [])

    def _changes(self, stage: str) -> dict[str, str]:
        return config.parse_settings(self.settings.get(stage, []))


def render_all(work: Work) -> None:
    """Stage 1: all frames, by the fastest way of this machine, as many as there is time for."""
    notes, ledger = work.ledger.notes, work.ledger
    way = notes.get("renderer") or ledger.note(
        "renderer", vars(fastest_renderer(work.size, work.device))
    )
    seconds = ledger.left("frames")
    people = notes.get("people") or ledger.note(
        "people", plan(work.preset, seconds, way["frames_per_second"])
    )
    if best_device(work.device).type == "cpu":  # begun where there was a GPU
        way = way | {"device": "cpu"}
    render_sets(work.out / "frames", work.preset, work.size, work.seed, people, way)


def train_copy(work: Work, copy: str, frames: str) -> Path:
    """One copy of the instruments."""
    return instrument_recipes.train_instruments(
        work.run(copy), work.frames(frames), work.frames("unseen"), copy, **work.common(copy)
    )


def warm_start(work: Work) -> Path:
    """A generator that redraws pictures."""
    return recipes.train_autoencoder(
        work.run("warm_start"), work.frames("seen"), work.file("loss"), **work.common("warm_start")
    )


def generator(work: Work) -> Path:
    """The game against a critic, from the warm start on."""
    return recipes.train_generator(
        work.run("generator"), work.frames("seen"), instruments=work.file("loss"),
        start=work.file("warm_start"), **work.common("generator"),
    )  # fmt: skip


def inverter(work: Work) -> Path:
    """The identity encoder."""
    return inverter_recipes.train_inverter(
        work.run("inverter"), work.frames("seen"), work.file("generator"), work.file("loss"),
        **work.common("inverter"),
    )  # fmt: skip


def together(work: Work) -> Path:
    """Generator and identity encoder learn on with one another."""
    return recipes.train_generator(
        work.run("together"), work.frames("seen"), instruments=work.file("loss"),
        start=work.file("generator"), inverter=work.file("inverter"), **work.common("together"),
    )  # fmt: skip


def latents(work: Work) -> None:
    """Latents of all clips."""
    batch = 256 if best_device(work.device).type == "cuda" else 32
    both = work.file("together")
    invert_frames(work.frames("clips"), both, both, batch, work.device)


def transfer(work: Work) -> Path:
    """Motion encoder and mapper."""
    both = work.file("together")
    return transfer_recipes.train_transfer(
        work.run("transfer"), work.frames("clips"), both, both, work.file("loss"),
        **work.common("transfer"),
    )  # fmt: skip


def controls(work: Work) -> Path:
    """The transfer with its controls: the model itself."""
    path = work.run("controls") / "model.safetensors"
    train_controls(
        work.file("transfer"), work.frames("seen"), path, work.file("loss"), work.file("judge"),
        pictures=PICTURES, device=work.device,
    )  # fmt: skip
    return path


def evaluation(work: Work) -> None:
    """The judges' verdict, on as many people as there is time to render twice over."""
    way, sets, per_person = work.ledger.notes["renderer"], 5, 2
    rendered = work.ledger.left("evaluation") / 2 * way["frames_per_second"]
    people = min(MOST_JUDGED, max(8, int(rendered / sets / per_person)))
    device = str(best_device(work.device))
    files = [str(work.file("model"))], str(work.file("judge")), str(work.run("evaluation"))
    print(command.run(*files, people, per_person, work.seed, device=device))


@dataclass(frozen=True)
class Stage:
    """A step from nothing to a judged model."""

    share: float
    """Of the budget; what matters is the ratio."""
    make: Callable[[Work], Path | None]
    """Gives the file that the stage ends in, if it does in one."""
    exported: str = ""
    """Its name in the pipeline's folder; the stage's own where it is empty."""
    marks: Sequence[str] = ()
    """Other files that tell, while they exist, that the stage is done."""


STAGES = {
    "frames": Stage(0.10, render_all, marks=("frames/clips/frames.json",)),
    "loss": Stage(0.07, lambda work: train_copy(work, "loss", "seen")),
    "judge": Stage(0.06, lambda work: train_copy(work, "judge", "others")),
    "warm_start": Stage(0.10, warm_start),
    "generator": Stage(0.13, generator),
    "inverter": Stage(0.09, inverter),
    "together": Stage(0.18, together),
    "latents": Stage(0.02, latents, marks=("frames/clips/latents.json",)),
    "transfer": Stage(0.18, transfer),
    "controls": Stage(0.03, controls, "model"),
    "evaluation": Stage(0.04, evaluation, marks=("runs/evaluation/evaluation.json",)),
}
"""In their order. On one GPU in 25 minutes: instruments 3, generator and encoder 12, transfer 5."""
EXPORTS = {
    name: stage.exported or name
    for name, stage in STAGES.items()
    if name not in ("frames", "latents", "evaluation")
}
"""Under which name each stage's file stands in the pipeline's folder."""
