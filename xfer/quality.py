"""`xfer quality`: how well a generator draws, in tables and pictures.

quality.json               distance, fidelity, variety, memory, what dlib finds; from what
factors.csv, .md, .tex     what the judge reads of drawn and of rendered pictures
samples.png, factors.png, nearest.png
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import ks_2samp

from xfer.axes import Image
from xfer.errors import expect
from xfer.evaluate.judges import DlibJudge
from xfer.figures import histograms, picture_grid, save_figure
from xfer.files.origin import expect_other_teachers
from xfer.instruments import Instruments, load_instruments
from xfer.runs import environment, write_json
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import draw
from xfer.tables import write_csv, write_table
from xfer.training.frames import FrameArray
from xfer.training.measure_generator import nearest_frames, picture_quality, read_factors
from xfer.training.origins import expect_strangers, inputs
from xfer.training.sources import record_of
from xfer.training.world_frames import WorldFrames

SHOWN = ("yaw_deg", "pitch_deg", "jaw", "smile", "blink_left")
"""Factors in the figure; the table has all that the judge reads well enough."""
KNOWN = 0.8
"""Least correlation with the truth, on the judge's own trial, of factors in the table."""
PSI = 0.7
"""Truncation of the sheet and of what dlib is shown."""
MOST_ASKED = 200
"""Pictures of each kind that dlib is shown."""
SHEET, PAIRS = 32, 8
"""People on the sheet, and pairs of drawn and nearest ones."""


def run(
    weights: str,
    judges: str,
    frames: str | Path,
    unseen: str | Path,
    out: str | Path,
    count: int = 1000,
    seed: int = 0,
    dlib: bool = False,
) -> str:
    """Measure a generator, write everything, and give the printed report.

    Args:
        weights: A generator's file or shipped name.
        judges: The judging copy.
        frames: World frames that it may have learned from, among which copies are looked for.
        unseen: Frames of other people, which it is compared with: `count` of either half of
            them, best of as many people.
        count: Pictures drawn, from seeds `seed` on, without truncation.
        dlib: Ask dlib, too: which share of pictures at psi 0.7 shows a face.

    Raises:
        BadValue: Frames are of another size than what is drawn, too few, or all of one seed.
        BadFile: The judges are the loss copy, or saw the people of the weights' loss copy.
        MissingFile: A folder holds no complete frames.
    """
    generator, judge = Generator.load(weights), load_instruments(judges, "judge")
    seen, others, folder = WorldFrames(frames), WorldFrames(unseen), Path(out)
    for pictures in (seen, others):
        expect(
            pictures.resolution == generator.resolution,
            f"{weights} draws {generator.resolution} px; got frames of {pictures.resolution} px",
        )
    expect_strangers(frames, unseen)
    expect_other_teachers(judges, weights)
    drawn = draw(generator, range(seed, seed + count))
    rendered = others.pictures(others.items(range(count)))
    facts = picture_quality(drawn, judge, others) | _memory(judge, drawn, rendered, seen, folder)
    table = _factors(judge, drawn, rendered, folder)
    if dlib:
        facts |= _found_by_dlib(generator, rendered[:MOST_ASKED], seed)
    sheet = draw(generator, range(seed, seed + SHEET), psi=PSI)
    figure = picture_grid(sheet, 8, title=f"random people, psi {PSI}", inches=0.8)
    save_figure(figure, folder / "samples.png")
    note = (
        "Factors are what the judging reader reads, distances are in the features of the judging "
        "recogniser; their own errors on unseen people: "
        + ", ".join(f"{name} {value:g}" for name, value in judge.errors.items())
    )
    write_table(table, folder / "factors", [note])
    made = inputs(weights=weights, judges=judges) | {"judges_errors": judge.errors}
    shown = {"frames": record_of(frames), "unseen": record_of(unseen), "seed": seed}
    write_json(folder / "quality.json", made | shown | facts | {"environment": environment()})
    told = "\n".join(f"{name:24} {value:g}" for name, value in facts.items())
    return "\n".join([told, "", table.to_string(), "", note, str(folder)])


def _found_by_dlib(generator: Generator, rendered: Image, seed: int) -> dict[str, float]:
    """Shares of faces that dlib finds among drawn pictures, truncated, and as many rendered."""
    finder, count = DlibJudge(), len(rendered)
    drawn = draw(generator, range(seed, seed + count), psi=PSI)
    shares = {"drawn": finder.find(drawn).found, "rendered": finder.find(rendered).found}
    found = {f"dlib_finds_{name}": float(share.mean()) for name, share in shares.items()}
    return found | {"dlib_asked": count, "dlib_psi": PSI}


def _memory(
    judge: Instruments, drawn: Image, rendered: Image, seen: FrameArray, folder: Path
) -> dict[str, float]:
    """How near drawn pictures come to the nearest training frame, beside unseen people's.

    A generator that copies comes nearer than people whom it cannot know.
    """
    both = torch.cat([drawn, rendered])  # at once: the frames' features are most of the work
    near = nearest_frames(both, judge, seen, range(len(seen)))
    ours, limit = np.split(near.distances, [len(drawn)])
    closest = ours.argsort()[:PAIRS]
    pairs = torch.cat([drawn[closest], seen.pictures(near.items[closest].tolist())])
    figure = picture_grid(
        pairs, PAIRS, row_labels=["drawn", "nearest"], inches=0.8,
        title=f"of {len(drawn)} drawn people, those nearest to one of {len(seen)} training frames",
    )  # fmt: skip
    save_figure(figure, folder / "nearest.png")
    return {
        "nearest_drawn": float(np.median(ours)),
        "nearest_unseen": float(np.median(limit)),
        "nearer_than_any_unseen": float((ours < limit.min()).mean()),
    }


def _factors(judge: Instruments, drawn: Image, rendered: Image, folder: Path) -> pd.DataFrame:
    """Means, spreads and the largest gap between the cumulated shares, factor by factor.

    A ratio of spreads below 1 says that drawn people differ less than rendered ones.
    """
    rows, panels, beside = {}, {}, {}
    read, true = (read_factors(judge, shown) for shown in (drawn, rendered))
    for name in judge.reader.config.factors:
        if judge.errors.get(f"{name}_r", 1.0) < KNOWN:
            continue
        ours, theirs = read[name], true[name]
        rows[name] = {
            "mean, drawn": float(ours.mean()), "mean, rendered": float(theirs.mean()),
            "spread, drawn": float(ours.std()), "spread, rendered": float(theirs.std()),
            "ratio of spreads": float(ours.std() / theirs.std()),
            "largest gap": ks_2samp(ours.numpy(), theirs.numpy()).statistic,
        }  # fmt: skip
        if name in SHOWN:
            panels[name], beside[name] = ours.tolist(), theirs.tolist()
    figure = histograms(panels, y_label="pictures", beside=beside, labels=("drawn", "rendered"))
    save_figure(figure, folder / "factors.png")
    table = pd.DataFrame(rows).T.rename_axis("factor").round(3)
    write_csv(table.reset_index(), folder / "factors.csv")
    return table
