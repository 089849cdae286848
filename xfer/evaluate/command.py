"""`xfer evaluate`: files in, a folder of tables out."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from xfer.baselines import CEILING, TRUTH, Method, Transferred, baselines
from xfer.datasets.clips import Clips
from xfer.errors import BadValue, expect
from xfer.evaluate.judges import DlibJudge, open_judge
from xfer.evaluate.sequences import clip_sequences, clips_for, steadiness, world_sequences
from xfer.evaluate.speed import speed
from xfer.evaluate.summary import compare, summarise
from xfer.evaluate.table import draw, evaluate
from xfer.evaluate.trials import Mode, Trials, clip_trials, world_trials
from xfer.figures import SYNTHETIC, picture_grid, save_figure
from xfer.model import Transfer
from xfer.rival import StyleSwap, is_rival
from xfer.runs import environment, write_json
from xfer.tables import interval_cells, write_csv, write_table

SHOWN = (
    "yaw_deg_error", "yaw_deg_r", "pitch_deg_r", "jaw_r", "smile_r", "blink_r", "accepted",
    "median_rank", "cosine_photo", "cosine_inversion", "psnr_face", "ssim_face", "perceptual_face",
    "frechet", "jitter",
)  # fmt: skip
"""Columns of the table that people read; summary.csv has all."""
SHEET_ROWS = 6
ALL = "all"
"""Asks for every split."""


def run(
    weights: Sequence[str],
    judges: str,
    out: str,
    people: int = 100,
    per_person: int = 4,
    seed: int = 0,
    mode: Mode = "cross",
    clips: str | None = None,
    dlib: bool = False,
    device: str = "cpu",
    inverter: str | None = None,
    split: str | None = None,
) -> str:
    """Evaluate models beside all baselines, write everything, and give the printed report.

    trials.csv and sequences.csv (one number each, of pictures and of short clips), summary.csv
    (means with intervals), comparisons.csv (first model against every other method), table.md and
    table.tex, sheet.png, and last evaluation.json, which alone holds speeds: they differ from run
    to run.
    """
    expect(mode in ("self", "cross"), f"a mode is self or cross; got '{mode}'")
    expect(split is None or clips is not None, "a split is one of prepared clips: name them, too")
    judge = open_judge(judges, clips)
    models = open_models(weights, device, inverter)
    chosen = None if clips is None else choose_clips(clips, split)
    size = next(iter(models.values())).generator.resolution
    trials, sequences = _asked(chosen, people, per_person, size, seed, mode)
    methods = all_methods(models, trials)
    table = evaluate(methods, trials, judge, DlibJudge() if dlib else None, device)
    steady = None if sequences is None else steadiness(methods, sequences, judge, device)
    tables = [table] if steady is None else [table, steady]
    summary, folder = pd.concat([summarise(part) for part in tables]), Path(out)
    columns = [name for name in SHOWN if name in set(summary["metric"])]
    columns += [name for name in summary["metric"].unique() if name.startswith("dlib_")]
    notes = [*_notes(table, trials, judges, chosen), _note_on_jitter(steady), *judge.notes]
    cells = interval_cells(summary, columns)
    write_csv(table, folder / "trials.csv")
    if steady is not None:
        write_csv(steady, folder / "sequences.csv")
    write_csv(summary, folder / "summary.csv")
    write_csv(compare(table, next(iter(models))), folder / "comparisons.csv")
    write_table(cells, folder / "table", notes)
    title = f"{mode}-reenactment of {_whom(chosen)}"
    note = SYNTHETIC if clips is None else ""
    _sheet(methods, trials, folder / "sheet.png", device, title, note)
    asked = {
        "weights": list(weights), "judges": judges, "people": people, "per_person": per_person,
        "seed": seed, "mode": mode, "clips": clips, "split": split, "device": device,
    }  # fmt: skip
    facts = {k: v for k, v in table.attrs.items() if k not in ("people", "sets")}
    facts["speed"] = speed(methods, trials, device)
    write_json(folder / "evaluation.json", asked | facts | {"environment": environment()})
    return "\n".join([cells.T.to_string(), "", *notes, _speed_note(facts["speed"]), str(folder)])


def open_models(
    weights: Sequence[str], device: str = "cpu", inverter: str | None = None
) -> dict[str, Transfer | StyleSwap]:
    """Prepared models, and rivals, by the names of their files.

    The first one's inverter and generator serve the baselines, so that it is no rival.
    """
    expect(weights, "the weights of one model at least are needed")
    expect(not is_rival(weights[0]), f"{weights[0]} is a rival; name a transfer model before it")
    models: dict[str, Transfer | StyleSwap] = {}
    for path in weights:
        name = Path(path).stem
        if name in models:  # files of one name in several folders
            name = str(path)
        if is_rival(path):
            models[name] = StyleSwap.load(path).to(device)
        else:
            models[name] = Transfer.load(path, inverter).to(device).prepare()
    return models


def all_methods(models: dict[str, Transfer | StyleSwap], trials: Trials) -> dict[str, Method]:
    """Models first, then baselines, then references where the truth is known."""
    methods: dict[str, Method] = {
        name: model if isinstance(model, StyleSwap) else Transferred(model)
        for name, model in models.items()
    }
    others = baselines(next(iter(models.values())))
    clash = methods.keys() & others.keys()
    if clash:
        raise BadValue(f"a file of weights is named like a baseline: {', '.join(clash)}")
    known = trials.driver.truth is not None
    return methods | {k: v for k, v in others.items() if known or k not in (CEILING, TRUTH)}


def choose_clips(folder: str | Path, split: str | None = None) -> Clips:
    """Prepared clips of a split; 'all' takes every one.

    By default those of `test`, if it has the two people at least that recognising needs, else all:
    a small folder of one's own has a person or none in `test`.
    """
    found = Clips(folder)
    if split == ALL:
        return found
    if split is not None:
        return Clips(folder, split)
    tested = found.index.loc[found.index["split"] == "test", "person"].nunique()
    if tested >= 2:
        return Clips(folder, "test")
    told = f"{folder}: {tested} people in the split test, and two are needed: all clips are taken"
    print(told, file=sys.stderr, flush=True)
    return found


def _asked(
    clips: Clips | None, people: int, per_person: int, size: int, seed: int, mode: Mode
) -> tuple[Trials, Trials | None]:
    """Trials, and short clips to be driven through, if there are any."""
    if clips is not None:
        trials = clip_trials(clips, per_person, seed, mode)
        return trials, clip_sequences(clips, clips_for(len(trials)), seed, mode)
    print(f"rendering {people} people, {per_person} trials of each", file=sys.stderr, flush=True)
    sequences = world_sequences(clips_for(people * per_person), size, seed, mode)
    return world_trials(people, per_person, size, seed, mode), sequences


def _notes(table: pd.DataFrame, trials: Trials, judges: str, clips: Clips | None) -> list[str]:
    """What a reader must know beside the numbers."""
    people = len(set(table.attrs["people"]))
    errors = ", ".join(f"{k} {v:g}" for k, v in table.attrs["judge_errors"].items())
    return [
        f"{trials.mode}-reenactment, {len(trials)} trials of {people} {_whom(clips)}; "
        "means with 95% bootstrap intervals over people.",
        f"Judged by {Path(judges).name}; its own errors on unseen people: {errors or 'not known'}.",
        _note_on_sets(table.attrs["frechet"]),
    ]


def _whom(clips: Clips | None) -> str:
    """What kind of people are asked about; of a folder of clips nobody knows who saw whom."""
    if clips is None:
        return "unseen people"
    return f"people (splits: {', '.join(sorted(clips.index['split'].unique()))})"


def _note_on_sets(known: dict[str, Any]) -> str:
    halves = known["halves"]
    floor = (
        "" if halves is None else f" Two halves of them, of other people, lie {halves:.3g} apart."
    )
    return (
        f"frechet: squared distance from the {known['pictures']} {known['against']}, as sets, in "
        "the judging recogniser's features, give or take 1.96 standard errors of the bootstrap."
        f"{floor} Smaller sets lie further apart."
    )


def _note_on_jitter(steady: pd.DataFrame | None) -> str:
    if steady is None:
        return "jitter: not measured; no clip has three consecutive frames."
    clips, true = steady["trial"].nunique(), steady.attrs.get("true_jitter")
    exact = "" if true is None else f" The truth's own points, exactly: {true:.3g}."
    return (
        f"jitter: second differences of the judge's 68 points over {clips} smooth clips, root mean "
        "square, in distances of the eyes. More than in truth or driver is unrest, less is motion "
        f"that is missing.{exact}"
    )


def _speed_note(known: dict[str, Any]) -> str:
    rates = ", ".join(f"{name} {rate:g}" for name, rate in known["frames_a_second"].items())
    return (
        f"Frames a second of the networks, one at a time, the identity known beforehand: {rates} "
        f"({known['device']}, threads: {known['threads']}, {known['processor']})."
    )


def _sheet(
    methods: dict[str, Method], trials: Trials, path: Path, device: str, title: str, note: str
) -> None:
    """A few trials: driver, identity, and what every method makes of them."""
    rows = torch.linspace(0, len(trials) - 1, min(SHEET_ROWS, len(trials))).long().tolist()
    few = trials.index(rows)
    shown = {"driver": few.driver.picture, "identity": few.identity}
    shown |= {name: draw(method, few, device) for name, method in methods.items()}
    grid = torch.stack(list(shown.values()), 1).flatten(0, 1)
    save_figure(
        picture_grid(grid, len(shown), column_labels=list(shown), title=title, note=note), path
    )
