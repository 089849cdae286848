"""What each part of a transfer's training is worth: the same training without it, several seeds.

asked.json           what all of them share; another request needs another folder
ablations.csv        a row for each variant, seed and metric
table.md, table.tex  means over seeds, with the lowest and the highest seed
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from xfer.baselines import Transferred
from xfer.errors import RunError, expect
from xfer.evaluate import evaluate, open_judge, summarise, world_trials
from xfer.evaluate.judges import Judge, readings
from xfer.evaluate.trials import Trials
from xfer.metrics.transfer import cosines
from xfer.model import Transfer
from xfer.rival import StyleSwap, is_rival
from xfer.runs import environment, read_json, write_json
from xfer.stylegan2.sampling import z_from_seeds
from xfer.tables import interval_cells, over_seeds, write_csv, write_table
from xfer.training import config
from xfer.training.origins import inputs
from xfer.training.train_rival import train_rival
from xfer.training.train_transfer import TRANSFER_PRESETS, TransferTraining
from xfer.training.transfer_recipes import train_transfer

BASE = ("mapper.kind=affine",)
"""The paper's mapper: in short trainings it shows soonest what a change is worth."""
VARIANTS: dict[str, tuple[str, ...]] = {
    "affine": (),
    "conditioned": ("mapper.kind=conditioned",),
    "conditioned, four times the rate": ("mapper.kind=conditioned", "learning_rate=2e-3"),
    "conditioned, with a direct path": ("mapper.kind=conditioned", "mapper.direct=true"),
    "no identity loss": ("identity=0",),
    "with contrastive": ("contrastive=0.1",),
    "no other people": ("cross_person=false",),
    "whole picture": ("crop=false",),
    "recoloured drivers": ("recolour=0.3",),
    "looks of the recogniser alone": ("look=recogniser",),
    "bottleneck 8": ("encoder.bottleneck=8",),
    "bottleneck 32": ("encoder.bottleneck=32",),
    "bottleneck 128": ("encoder.bottleneck=128",),
    "bottleneck 512": ("encoder.bottleneck=512",),
}
"""The first is `BASE` itself, and all others differ from it in one thing; the conditioned mapper's
own variants, which ask why it learns otherwise, in one more."""
RIVAL = "style mask (rival)"
"""Another method on the same clips, losses and steps: see `rival`."""
METRICS = (
    "yaw_deg_error", "yaw_deg_r", "pitch_deg_r", "jaw_r", "smile_r", "blink_r", "cosine_photo",
    "psnr_face",
)  # fmt: skip


def run_ablations(
    out: str | Path,
    clips: str | Path,
    generator: str | Path,
    inverter: str | Path,
    instruments: str | Path,
    judges: str | Path,
    preset: str = "nano",
    kimg: float = 8.0,
    seeds: int = 3,
    variants: Sequence[str] = (),
    people: int = 60,
    settings: Sequence[str] = (),
) -> pd.DataFrame:
    """Train and judge every variant; called again, it goes on with what is missing.

    Args:
        kimg: Thousands of pictures for each training.
        variants: Some of `VARIANTS` or `RIVAL`; by default all that change something at this
            preset, and the rival.
        people: Unseen ones, two trials of each, the same for all.
        settings: Of all variants.

    Returns:
        variant, seed, metric, value.
    """
    known = (*VARIANTS, RIVAL)
    chosen = list(variants) or [*differing(preset, settings), RIVAL]
    unknown = [name for name in chosen if name not in known]
    expect(not unknown, f"there is no variant {unknown}; there are {', '.join(known)}")
    folder, judge = Path(out), open_judge(judges)
    networks = (generator, inverter, instruments)
    _keep_request(
        folder / "asked.json",
        {
            "base": list(BASE), "settings": list(settings), "preset": preset, "kimg": kimg,
            "people": people,
        }
        | inputs(
            clips=clips, generator=generator, inverter=inverter, instruments=instruments,
            judges=judges,
        ),
    )  # fmt: skip
    trials, rows = None, []
    for name in chosen:
        for seed in range(seeds):
            place = folder / name.replace(" ", "_") / str(seed)
            if not (place / "judged.csv").exists():
                asked = [f"total_kimg={kimg}", f"seed={seed}", *BASE, *settings]
                asked += VARIANTS.get(name, ())
                train = train_rival if name == RIVAL else train_transfer
                model = _open(train(place, clips, *networks, preset, asked))
                trials = trials or world_trials(people, 2, model.generator.resolution)
                found = pd.DataFrame(_judged(model, trials, judge), columns=["metric", "value"])
                write_csv(found, place / "judged.csv")
                print(f"{name}, seed {seed}: judged", file=sys.stderr, flush=True)
            rows.append(pd.read_csv(place / "judged.csv").assign(variant=name, seed=seed))
    table = pd.concat(rows)[["variant", "seed", "metric", "value"]]
    write_csv(table, folder / "ablations.csv")
    changed = f" with {', '.join(settings)}" if settings else ""
    note = (
        f"{seeds} seeds of {kimg:g} kimg at {preset}{changed}; "
        "in brackets the lowest and highest seed."
    )
    write_table(interval_cells(over_seeds(table)), folder / "table", [note])
    return table


def findings(table: pd.DataFrame) -> list[str]:
    """A sentence for each variant: in what its brackets lie apart from the first's.

    Args:
        table: Of `run_ablations`; the first variant is what the others are held against.
    """
    means = over_seeds(table[table["metric"].isin(METRICS)])
    first, *others = dict.fromkeys(means["method"])
    base = means[means["method"] == first].set_index("metric")
    told = []
    for name in others:
        found = {"better": [], "worse": []}
        for row in means[means["method"] == name].itertuples():
            known = base.loc[row.metric]
            if row.low > known["high"] or row.high < known["low"]:
                better = (row.value < known["value"]) == row.metric.endswith("_error")
                words = f"{row.metric} {row.value:.3g} against {known['value']:.3g}"
                found["better" if better else "worse"].append(words)
        apart = "; ".join(f"{kind} {', '.join(words)}" for kind, words in found.items() if words)
        told.append(f"{name}: {apart or f'not told from {first}'}.")
    return told


def _keep_request(path: Path, asked: dict[str, Any]) -> None:
    """Write down what is asked for, or raise `RunError` where the folder was made otherwise."""
    if not path.exists():
        if made := next(path.parent.glob("*/*/judged.csv"), None):
            raise RunError(f"{path} should say what {made} was made with; choose another folder")
        write_json(path, asked | {"environment": environment()})
        return
    before = read_json(path)
    others = [name for name, value in asked.items() if before.get(name) != value]
    if others:
        told = ", ".join(f"{name} was {before.get(name)}, not {asked[name]}" for name in others)
        raise RunError(f"{path.parent} holds other ablations: {told}; choose another folder")


def differing(preset: str, settings: Sequence[str] = ()) -> list[str]:
    """The first variant, and all that differ from it: a bottleneck may be a preset's own."""

    def training(changes: Sequence[str]) -> TransferTraining:
        asked = config.parse_settings([*BASE, *settings, *changes])
        return config.preset(TRANSFER_PRESETS, preset, **asked)

    base = training(())
    return [name for name, by in VARIANTS.items() if not by or training(by) != base]


def _open(path: Path) -> Transfer | StyleSwap:
    """What a training has written."""
    return StyleSwap.load(path) if is_rival(path) else Transfer.load(path).prepare()


def _judged(
    model: Transfer | StyleSwap, trials: Trials, judge: Judge
) -> Iterator[tuple[str, float]]:
    """Metrics of one model; a rival, which inverts whatever it is shown, knows no raw w."""
    method = Transferred(model) if isinstance(model, Transfer) else model
    summary = summarise(evaluate({"model": method}, trials, judge))
    means: Mapping[str, float] = summary.set_index("metric")["value"]
    yield from ((name, float(means[name])) for name in METRICS if name in means)
    if isinstance(model, Transfer):
        yield from random_people(model, trials, judge).items()


@torch.no_grad()
def random_people(
    model: Transfer, trials: Trials, judge: Judge, psi: float = 0.7
) -> dict[str, float]:
    """Random people driven by the trials' drivers, as raw w and by way of the inverter.

    cosine: of the result with the person's own picture; yaw_r: of what is read in the result with
    the driver's true yaw. The paper inverts the person's picture because raw w lies outside of
    what the mapper has learned from.
    """
    z = z_from_seeds(range(len(trials)), model.generator.z_dim)
    raw = model.generator.truncate(model.generator.to_w_plus(model.generator.mapping(z)), psi)
    pictures = _in_parts(model.generator.synthesis, raw)
    inverted = _in_parts(model.identify, pictures)
    own, column = readings(judge, pictures.clamp(-1, 1)), judge.names.index("yaw_deg")
    numbers = {}
    for name, codes in {"raw w": raw, "inverted w": inverted}.items():
        parts = zip(trials.driver.picture.split(16), codes.split(16), strict=True)
        drawn = torch.cat([model.transfer(driver, code) for driver, code in parts])
        found = readings(judge, drawn.clamp(-1, 1))
        numbers[f"{name}: cosine"] = float(cosines(found.embeddings, own.embeddings).mean())
        if trials.motion is not None:
            true = trials.motion["yaw_deg"].numpy()
            numbers[f"{name}: yaw_r"] = float(np.corrcoef(found.factors[:, column], true)[0, 1])
    return numbers


def _in_parts(f, x: torch.Tensor, size: int = 16) -> torch.Tensor:
    return torch.cat([f(part) for part in x.split(size)])
