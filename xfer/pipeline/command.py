"""`xfer train all`: from nothing to a judged model by one command, within a budget of minutes.

OUT/model.safetensors      what `Transfer.load` reads, with its controls
OUT/judge.safetensors      who judged it; beside it every other stage's file, as soon as it is there
OUT/records/               run.json, curves and sheets of each stage, and the verdict; no weights
OUT/pipeline.json, log.txt what was spent and finished; all that was said
OUT/frames, OUT/runs       what it worked with
"""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from xfer.devices import best_device
from xfer.errors import BadValue, expect
from xfer.pipeline.ledger import Ledger
from xfer.pipeline.rendering import plan
from xfer.pipeline.stages import EXPORTS, PRESETS, STAGES, Work
from xfer.runs import Run, atomic, clock, environment, full_disk_told, write_json
from xfer.training import config
from xfer.training.config import parse_settings
from xfer.training.instrument_recipes import instrument_configs
from xfer.training.memory import memory_told
from xfer.training.recipes import keep_record


def run(
    out: str | Path,
    preset: str = "small",
    minutes: float = 25.0,
    device: str = "auto",
    seed: int = 0,
    settings: Sequence[str] = (),
) -> Path:
    """Run all stages that are left, and give the model's file.

    A call that was ended in any way is taken up by the next one, which counts its time.

    Args:
        out: The pipeline's folder.
        preset: nano, small or medium.
        minutes: For all calls together; see the stages' shares.
        device: cpu, cuda, or auto.
        seed: Of the frames.
        settings: Changes as STAGE.key=value, such as generator.learning_rate=2e-3.
    """
    out, by_stage = Path(out), settings_by_stage(settings)
    check(preset, by_stage)
    best_device(device)  # refused before a folder is made
    asked = {"preset": preset, "seed": seed, "settings": sorted(settings)}
    shares = {name: stage.share for name, stage in STAGES.items()}
    with Run(out, asked | {"minutes": minutes}, seed), said_twice(out / "log.txt"):
        ledger = Ledger(out / "pipeline.json", asked, shares, minutes)
        work = Work(out, preset, device, seed, by_stage, ledger)
        for name in STAGES:
            run_stage(work, name)
        say(f"done: {work.file('model')}")
    return work.file("model")


def run_stage(work: Work, name: str) -> None:
    """One stage with its file exported and its record kept, unless it is done."""
    stage, ledger = STAGES[name], work.ledger
    if name in ledger.finished and all(path.exists() for path in _ends(work, name)):
        say(f"{name}: done before")
        return
    say(f"{name}: {clock(ledger.left(name))} are left for it")
    with ledger.spending(name), memory_told(_less_memory(name)):
        made = stage.make(work)
        if made is not None:
            _copy(made, work.file(EXPORTS[name]))
        _keep(work, name)
    ledger.finish(name)
    say(f"{name}: done in {clock(ledger.seconds[name])}")


def settings_by_stage(settings: Sequence[str]) -> dict[str, list[str]]:
    """`["generator.batch=8"]` as lists by stage, without its name; raises `BadValue`."""
    found: dict[str, list[str]] = {}
    for key, value in parse_settings(list(settings)).items():
        stage, dot, name = key.partition(".")
        expect(dot and name, f"--set takes STAGE.key=value here; got {key!r}")
        if stage not in PRESETS:
            raise BadValue(f"no stage {stage!r} has settings; there are {', '.join(PRESETS)}")
        found.setdefault(stage, []).append(f"{name}={value}")
    return found


def check(preset: str, by_stage: dict[str, list[str]]) -> None:
    """Raise `BadValue` for a preset that a stage lacks, or for a setting that is none."""
    plan(preset, 0.0, 0.0)
    for stage, table in PRESETS.items():
        changes = parse_settings(by_stage.get(stage, []))
        if stage in ("loss", "judge"):
            instrument_configs(stage, preset, changes)
        else:
            config.preset(table, preset, **changes)


def _less_memory(name: str) -> str:
    """What to do about a stage without enough memory; a folder keeps the settings it began with."""
    lower = f"--set {name}.batch=N or " if name in PRESETS else ""
    return f"in stage {name}; lower it with {lower}a smaller --preset, in another folder"


def _ends(work: Work, name: str) -> list[Path]:
    """Files that a finished stage has left and later ones need."""
    exported = [work.file(EXPORTS[name])] if name in EXPORTS else []
    return exported + [work.out / mark for mark in STAGES[name].marks]


def _copy(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def _keep(work: Work, name: str) -> None:
    """The stage's record, without weights, and how far the whole is."""
    folder, records = work.run(name), work.out / "records"
    for run in sorted(folder.rglob("run.json")):  # instruments are two runs
        part = run.parent.relative_to(folder)
        keep_record(run.parent, records / "-".join([name, *part.parts]))
    if name == "evaluation":
        for path in sorted(folder.iterdir()):
            _copy(path, records / name / path.name)
    ledger = work.ledger
    told = {"asked": ledger.asked, "minutes": ledger.minutes, "seconds": ledger.seconds}
    write_json(records / "pipeline.json", told | ledger.notes | {"environment": environment()})


class _Both:
    """A stream that writes into two."""

    def __init__(self, first: TextIO, second: TextIO):
        self.first, self.second = first, second

    def write(self, text: str) -> int:
        self.second.write(text)
        return self.first.write(text)

    def flush(self) -> None:
        self.first.flush()
        self.second.flush()

    def isatty(self) -> bool:
        return False  # plain lines of progress, which a file can hold


@contextlib.contextmanager
def said_twice(path: Path) -> Iterator[None]:
    """What is printed is also appended to a file."""
    with (
        full_disk_told(path),
        open(path, "a", buffering=1) as log,
        contextlib.redirect_stdout(_Both(sys.stdout, log)),
        contextlib.redirect_stderr(_Both(sys.stderr, log)),
    ):
        yield


def say(text: str) -> None:
    """A line about the whole."""
    print(f"== {text}", file=sys.stderr, flush=True)
