"""`xfer evaluate`: files in, a folder of tables out."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from xfer.baselines import CEILING, TRUTH, Method, Model, Transferred, baselines
from xfer.datasets.clips import Clips
from xfer.errors import BadValue, expect
from xfer.evaluate.failures import by_kind, kinds_of
from xfer.evaluate.judges import DlibJudge, open_judge
from xfer.evaluate.notes import notes, on_speed, whom
from xfer.evaluate.recalling import recalling
from xfer.evaluate.sequences import clip_sequences, clips_for, steadiness, world_sequences
from xfer.evaluate.sheets import cases_sheet, methods_sheet
from xfer.evaluate.speed import speed
from xfer.evaluate.summary import compare, summarise
from xfer.evaluate.table import evaluate
from xfer.evaluate.trials import Mode, Trials, clip_trials, world_trials
from xfer.evaluate.verdict import verdict
from xfer.figures import SYNTHETIC, save_figure
from xfer.files.origin import expect_other_teachers
from xfer.files.records import sha256
from xfer.files.registry import locate
from xfer.model import Transfer
from xfer.rival import StyleSwap, is_rival
from xfer.runs import environment, write_json
from xfer.tables import interval_cells, write_csv, write_table, write_text

SHOWN = (
    "yaw_deg_error", "pitch_deg_error", "expression_error", "landmark_error", "yaw_deg_r",
    "pitch_deg_r", "jaw_r", "smile_r", "blink_r", "accepted", "median_rank", "cosine_photo",
    "psnr_face", "ssim_face", "perceptual_face", "frechet", "jitter",
)  # fmt: skip
"""Columns of the table that people read; table_all and summary.csv have all."""
FACE = "_face"
"""Ends the names of what is measured on the face; the same of whole pictures goes without."""
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

    trials.csv, sequences.csv: one number each, of pictures and of short clips.
    summary.csv: their means and correlations, with intervals.
    comparisons.csv: the first model against every other method, by paired tests.
    table.md, table.tex: the summary's main columns; table_all.md, table_all.tex: all of it.
    by_pose.csv, by_hair.csv: where models fail, by the driver's pose and, in the face world, the
        identity's hair; best_and_worst.png: the first model's extreme cases.
    verdict.md: what summary and comparisons say, in sentences.
    sheet.png: some trials, and every method's answers.
    evaluation.json: what was asked and of which files. It comes last, and alone holds speeds:
        they differ from run to run.

    Raises:
        BadFile: The judges took part in a model's losses, or saw the people of those who did.
    """
    expect(mode in ("self", "cross"), f"a mode is self or cross; got '{mode}'")
    expect(split is None or clips is not None, "a split is one of prepared clips: name them, too")
    judge = open_judge(judges, clips)
    models = open_models(weights, device, inverter)
    for path in weights:
        expect_other_teachers(judges, path)
    chosen = None if clips is None else choose_clips(clips, split)
    size = next(iter(models.values())).generator.resolution
    trials, sequences = _asked(chosen, people, per_person, size, seed, mode)
    methods = all_methods(recalling(models), trials)
    table = evaluate(methods, trials, judge, DlibJudge() if dlib else None, device)
    steady = None if sequences is None else steadiness(methods, sequences, judge, device)
    told, folder = notes(table, steady, trials, judge, judges, chosen), Path(out)
    cells = _write_tables(table, steady, list(models), trials, told, folder)
    title = f"{mode}-reenactment of {whom(chosen)}"
    note = SYNTHETIC if clips is None else ""
    sheet = methods_sheet(methods, trials, device, title, note)
    save_figure(sheet, folder / "sheet.png")
    cases = cases_sheet(table, {name: methods[name] for name in models}, trials, device, note)
    save_figure(cases, folder / "best_and_worst.png")
    asked = {
        "weights": [_file(path) for path in weights], "judges": _file(judges),
        "inverter": None if inverter is None else _file(inverter),
        "people": people, "per_person": per_person, "seed": seed, "mode": mode,
        "clips": None if clips is None else Path(clips).absolute().name, "split": split,
        "dlib": dlib, "device": device,
    }  # fmt: skip
    facts = {k: v for k, v in table.attrs.items() if k not in ("people", "sets")}
    facts["speed"] = speed(all_methods(models, trials), trials, device)
    write_json(folder / "evaluation.json", asked | facts | {"environment": environment()})
    return "\n".join([cells.T.to_string(), "", *told, on_speed(facts["speed"]), str(folder)])


def _write_tables(
    table: pd.DataFrame, steady: pd.DataFrame | None, models: Sequence[str], trials: Trials,
    told: Sequence[str], folder: Path,
) -> pd.DataFrame:  # fmt: skip
    """Everything but pictures and the record; gives the table that people read."""
    tables = {"trials": table} | ({} if steady is None else {"sequences": steady})
    summary = pd.concat([summarise(part) for part in tables.values()])
    comparisons = compare(table, models[0])
    tables |= {"summary": summary, "comparisons": comparisons}
    for name, kinds in kinds_of(table, trials).items():
        tables[f"by_{name}"] = by_kind(table, models, kinds)
    for name, found in tables.items():
        write_csv(found, folder / f"{name}.csv")
    cells = interval_cells(summary, shown_columns(list(summary["metric"].unique())))
    write_table(cells, folder / "table", told)
    # Metrics are many, and methods few: a row a metric.
    every = interval_cells(summary).T.rename_axis(index="metric", columns=None)
    write_table(every, folder / "table_all", told)
    write_text(folder / "verdict.md", verdict(summary, comparisons, trials.mode))
    return cells


def shown_columns(known: Sequence[str]) -> list[str]:
    """Of the known metrics those of the table that people read, and all of dlib.

    What is not known of the face alone is shown of whole pictures.
    """
    found = [name if name in known else name.removesuffix(FACE) for name in SHOWN]
    return [name for name in found if name in known] + [
        name for name in known if name.startswith("dlib_")
    ]


def _file(weights: str) -> dict[str, str]:
    """A file of weights, or a shipped or fetched name, without the folders of this machine."""
    path = locate(weights)
    return {"file": path.name, "sha256": sha256(path)}


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


def all_methods(models: Mapping[str, Model | StyleSwap], trials: Trials) -> dict[str, Method]:
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
