"""`xfer evaluate`: files in, a folder of tables out."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from xfer.baselines import CEILING, TRUTH, Method, Transferred, baselines
from xfer.datasets.clips import Clips
from xfer.errors import BadValue, expect
from xfer.evaluate.judges import DlibJudge, open_judge
from xfer.evaluate.table import compare, draw, evaluate, summarise
from xfer.evaluate.trials import Mode, Trials, clip_trials, world_trials
from xfer.figures import SYNTHETIC, picture_grid, save_figure
from xfer.model import Transfer
from xfer.rival import StyleSwap, is_rival
from xfer.runs import environment, write_json
from xfer.tables import interval_cells, write_csv, write_table

SHOWN = (
    "yaw_deg_error", "yaw_deg_r", "pitch_deg_r", "jaw_r", "smile_r", "blink_r", "accepted",
    "median_rank", "cosine_photo", "cosine_inversion", "psnr_face", "ssim_face", "perceptual_face",
)  # fmt: skip
"""Columns of the table that people read; summary.csv has all."""
SHEET_ROWS = 6


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
) -> str:
    """Evaluate models beside all baselines, write everything, and give the printed report.

    trials.csv (one number each), summary.csv (means with intervals), comparisons.csv (first model
    against every other method), table.md and table.tex, sheet.png, and last evaluation.json.
    """
    expect(mode in ("self", "cross"), f"a mode is self or cross; got '{mode}'")
    judge = open_judge(judges)
    models = open_models(weights, device, inverter)
    trials = _trials(next(iter(models.values())), clips, people, per_person, seed, mode)
    methods = all_methods(models, trials)
    table = evaluate(methods, trials, judge, DlibJudge() if dlib else None, device)
    summary, folder = summarise(table), Path(out)
    columns = [name for name in SHOWN if name in set(summary["metric"])]
    columns += [name for name in summary["metric"].unique() if name.startswith("dlib_")]
    notes = _notes(table, trials, judges)
    cells = interval_cells(summary, columns)
    write_csv(table, folder / "trials.csv")
    write_csv(summary, folder / "summary.csv")
    write_csv(compare(table, next(iter(models))), folder / "comparisons.csv")
    write_table(cells, folder / "table", notes)
    _sheet(methods, trials, folder / "sheet.png", device, SYNTHETIC if clips is None else "")
    asked = {
        "weights": list(weights), "judges": judges, "people": people, "per_person": per_person,
        "seed": seed, "mode": mode, "clips": clips, "device": device,
    }  # fmt: skip
    facts = {key: value for key, value in table.attrs.items() if key != "people"}
    write_json(folder / "evaluation.json", asked | facts | {"environment": environment()})
    return "\n".join([cells.T.to_string(), "", *notes, str(folder)])


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
    """Models first, then baselines, then bounds where the truth is known."""
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


def _trials(
    model: Transfer, clips: str | None, people: int, per_person: int, seed: int, mode: Mode
) -> Trials:
    if clips is not None:
        found = Clips(clips)
        split = "test" if "test" in set(found.index["split"]) else None
        return clip_trials(Clips(clips, split), per_person, seed, mode)
    print(f"rendering {people} people, {per_person} trials of each", file=sys.stderr, flush=True)
    return world_trials(people, per_person, model.generator.resolution, seed, mode)


def _notes(table: pd.DataFrame, trials: Trials, judges: str) -> list[str]:
    """What a reader must know beside the numbers."""
    people = len(set(table.attrs["people"]))
    errors = ", ".join(f"{k} {v:g}" for k, v in table.attrs["judge_errors"].items())
    return [
        f"{trials.mode}-reenactment, {len(trials)} trials of {people} unseen people; "
        "means with 95% bootstrap intervals over people.",
        f"Judged by {Path(judges).name}; its own errors on unseen people: {errors or 'not known'}.",
    ]


def _sheet(methods: dict[str, Method], trials: Trials, path: Path, device: str, note: str) -> None:
    """A few trials: driver, identity, and what every method makes of them."""
    rows = torch.linspace(0, len(trials) - 1, min(SHEET_ROWS, len(trials))).long().tolist()
    few = trials.index(rows)
    shown = {"driver": few.driver.picture, "identity": few.identity}
    shown |= {name: draw(method, few, device) for name, method in methods.items()}
    grid = torch.stack(list(shown.values()), 1).flatten(0, 1)
    title = f"{trials.mode}-reenactment of unseen people"
    save_figure(
        picture_grid(grid, len(shown), column_labels=list(shown), title=title, note=note), path
    )
