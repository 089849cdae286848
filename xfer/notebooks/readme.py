"""The README's tables of results, filled from `results/`: no figure in them is typed.

    make readme

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from xfer.errors import BadFile, expect
from xfer.files import read_checkpoint
from xfer.runs import atomic, read_json, read_stats
from xfer.tables import interval_cells, over_seeds, to_markdown, write_text

BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

DETECTORS = {
    "hog": "faces that dlib's HOG detector finds",
    "hog_worst_hair_style": "the same, worst of ten hair styles",
    "lbp_cascade": "faces that scikit-image's LBP cascade finds",
    "yaw_correlation": "yaw read from dlib's 68 points against the truth",
    "recogniser_auc": "dlib's recogniser tells 100 people apart over full motion (area under the "
    "curve)",
    "recogniser_hog": "share that HOG finds on those frames",
    "landmark_distance": "dlib's 68 points from the true ones on frontal faces, in distances of "
    "the eyes' outer corners (the aim was 0.05)",
    "back_of_head_found": "backs of heads taken for a face",
}
TRANSFER = {
    "yaw_deg_error": "yaw error, deg",
    "yaw_deg_r": "yaw r",
    "pitch_deg_r": "pitch r",
    "jaw_r": "jaw r",
    "smile_r": "smile r",
    "blink_r": "blink r",
    "accepted": "recognised",
    "psnr_face": "PSNR on the face, dB",
}
METHODS = (
    "small", "small-affine", "small-rival", "copy identity", "copy driver", "latent difference",
    "ceiling", "truth",
)  # fmt: skip
PICTURES = {
    "00_face_world": "people.png",
    "01_prepare_data": "crops.png",
    "02_train_generator": "samples.png",
    "03_invert_identities": "rounds.png",
    "04_train_transfer": "curves.png",
    "05_disentangle_latents": "grid.png",
    "06_evaluate_transfer": "methods.png",
    "07_explore": "people.png",
    "08_reenact_video": "filmstrip.png",
}
"""What stands for each notebook."""
THUMBNAIL = 200
"""Longest edge in pixels."""
RUNS = {
    "small_warm_start": "generator, warm start",
    "small_generator": "generator, against a critic",
    "small_inverter": "identity encoder",
    "small_transfer_before": "motion encoder and mapper",
    "small_refound": "generator and identity encoder together",
    "small_transfer": "motion encoder and mapper, on the latter",
    "small_sharpened": "generator and encoder against a stronger critic",
    "small_rejoined": "what lies between the last two and `small_refound`, together",
    "small_moved": "motion encoder and mapper, on what the last two blend to",
    "small_affine": "the same motion encoder with an affine mapper",
    "small_rival": "the rival",
}
ABLATED = (
    "yaw_deg_error", "pitch_deg_r", "jaw_r", "smile_r", "blink_r", "cosine_photo", "psnr_face",
)  # fmt: skip
QUALITY = {
    "frechet": ("Fréchet distance (rendered: between two groups of people)", "frechet_floor"),
    "precision": ("share of drawn pictures that look like rendered ones", ""),
    "recall": ("share of rendered pictures that the generator reaches", ""),
    "nearest_drawn": ("distance to the nearest of 24,000 frames such as it learned from "
                      "(rendered: unseen people)", "nearest_unseen"),
    "dlib_finds_drawn": ("dlib's HOG detector finds a face, psi 0.7, enlarged to 256 px",
                         "dlib_finds_rendered"),
}  # fmt: skip
KNOWN = ("yaw_deg", "pitch_deg", "jaw", "skin_tone", "eye_spacing", "background_value")


def fill(text: str, results: Path) -> str:
    """The README with every table made anew."""
    names = [name for _, name, _, _ in BLOCK.findall(text)]
    unknown = [name for name in names if name not in TABLES]
    expect(not unknown, f"there is no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    return BLOCK.sub(lambda found: found[1] + TABLES[found[2]](results) + found[4], text)


def detectors(results: Path) -> str:
    """What others' detectors say of the face world, seed by seed."""
    seeds = range(3)
    tables = [read_json(results / "00_face_world" / f"judge_seed{seed}.json") for seed in seeds]
    rows = [
        [f"`{name}`", meaning, *(f"{round(table[name], 3):g}" for table in tables)]
        for name, meaning in DETECTORS.items()
    ]
    return _markdown(["", "", *(f"seed {seed}" for seed in seeds)], rows)


def transfer(results: Path) -> str:
    """Methods and their means, of the cross-person evaluation."""
    known = pd.read_csv(results / "transfer" / "small_cross" / "summary.csv")
    known = known.set_index(["method", "metric"])["value"]
    known = known.drop(("truth", "psnr_face"))  # its distance from itself
    rows = [
        [f"`{method}`", *(_number(known.get((method, metric))) for metric in TRANSFER)]
        for method in METHODS
    ]
    return _markdown(["", *TRANSFER.values()], rows)


def ablations(results: Path, preset: str = "small") -> str:
    """What parts of a transfer's training are worth: means over seeds, lowest and highest seed."""
    known = over_seeds(pd.read_csv(results / "ablations" / preset / "ablations.csv"))
    return to_markdown(interval_cells(known, list(ABLATED)).rename_axis("variant"))


def cross_talk(results: Path) -> str:
    """What the sliders of `small` do, as the judges read it; it stands in the weights' file."""
    rows = read_checkpoint("small").facts["controls"]["cross_talk"]
    cells = [[f"`{name}`", *(f"{x:.2f}" for x in row.values())] for name, row in rows.items()]
    return _markdown(["slider", *rows], cells)


def runs(results: Path) -> str:
    """How long each part of the shipped model has learned."""
    rows = []
    for name, what in RUNS.items():
        folder = results / "runs" / name
        record, last = read_json(folder / "run.json"), read_stats(folder)[-1]
        rows.append([what, f"{last['kimg']:.0f}", f"{record['hours']:.1f}", f"`runs/{name}`"])
    return _markdown(["part", "kimg", "hours", "record in `results/`"], rows)


def latents(results: Path) -> str:
    """What codes know, with intervals."""
    folder = results / "disentanglement" / "small"
    probes, people = pd.read_csv(folder / "probes.csv"), pd.read_csv(folder / "people.csv")
    probes = probes[(probes["labels"] == "true") & probes["factor"].isin(KNOWN)]
    people = people[people["measured"] == "taught"].assign(factor="people, AUC")
    summary = pd.concat([probes, people]).rename(columns={"code": "method", "factor": "metric"})
    table = interval_cells(summary, [*KNOWN, "people, AUC"], digits=2)
    return to_markdown(table.rename_axis("code"))


def synthesis(results: Path) -> str:
    """Seconds and memory of the generator's two forms."""
    rows = read_json(results / "speed" / "synthesis.json")["rows"]
    known = {(row["resolution"], row["batch"], row["form"]): row for row in rows}
    lines = []
    for px, batch, form in known:
        if form != "textbook":
            continue
        slow, fast = known[px, batch, form], known[px, batch, "prepared"]
        seconds = [slow["seconds"], fast["seconds"], slow["seconds"] / fast["seconds"]]
        memory = f"{slow['peak_mib']:.0f}, {fast['peak_mib']:.0f}"
        cells = [f"{x:.{digits}f}" for x, digits in zip(seconds, (2, 2, 1), strict=True)]
        lines.append([px, batch, *cells, f"{fast['psnr_db']:.0f}", memory])
    seconds = ["textbook, s", "prepared, s", "times faster"]
    return _markdown(
        ["px", "batch", *seconds, "dB apart", "peak MiB, textbook and prepared"], lines
    )


def quality(results: Path) -> str:
    """What the judges say of the generator, beside what they say of rendered pictures."""
    known = read_json(results / "quality" / "small" / "quality.json")
    rows = [
        [f"`{name}`", meaning, f"{known[name]:.3g}", f"{known[limit]:.3g}" if limit else ""]
        for name, (meaning, limit) in QUALITY.items()
    ]
    return _markdown(["", "", "drawn", "rendered"], rows)


def spreads(results: Path) -> str:
    """How far drawn people differ from one another, in parts of how far rendered ones do."""
    known = pd.read_csv(results / "quality" / "small" / "factors.csv", index_col=0)
    ratios = known["ratio of spreads"]
    return _markdown(["factor", *ratios.index], [["drawn / rendered", *map(_number, ratios)]])


def inversion(results: Path) -> str:
    """What each round finds again."""
    known = pd.read_csv(results / "inversion" / "small" / "rounds.csv")
    summary = known.assign(method=known["round"].astype(str))
    return to_markdown(interval_cells(summary).rename_axis("round"))


def networks(results: Path) -> str:
    """Frames a second of the transfer's networks and of what lies around them."""
    known = read_json(results / "speed" / "transfer.json")["frames_a_second"]
    parts = ["motion encoder", "mapper, per frame", "generator", "whole network"]
    rows = [
        [case, *(f"{speeds[part]:.3g}" for part in parts)]
        for case, speeds in known.items()
        if parts[-1] in speeds
    ]
    return _markdown(["frames a second", *parts], rows)


def video(results: Path) -> str:
    """Frames a second of what lies around the networks, and of all together."""
    known = read_json(results / "speed" / "transfer.json")["frames_a_second"]
    rows = [
        [f"{case}: {part}", f"{rate:.3g}"]
        for case, speeds in known.items()
        if "whole network" not in speeds
        for part, rate in speeds.items()
    ]
    return _markdown(["on a video", "frames a second"], rows)


def smoothing(results: Path) -> str:
    """How much landmarks jitter and lag."""
    known = read_json(results / "speed" / "transfer.json")["smoothing of landmarks, face of 256 px"]
    rows = [[name, *(f"{row[key]:.3g}" for key in row)] for name, row in known.items()]
    return _markdown(["landmarks of a face of 256 px", "jitter, px", "lag, ms"], rows)


def explorer(results: Path) -> str:
    """Milliseconds from a widget to its picture."""
    known = read_json(results / "speed" / "explorer.json")["milliseconds"]
    rows = [
        [name, f"{row['median']:.0f}", f"{row['ninetieth_percentile']:.0f}"]
        for name, row in known.items()
    ]
    return _markdown(["changed in notebook 07", "ms, median", "90% within"], rows)


def clock(results: Path) -> str:
    """How long every notebook takes, at each preset that was measured."""
    known = read_json(results / "speed" / "notebooks.json")
    minutes = {preset: found["seconds"] for preset, found in known.items()}
    names = sorted({name for seconds in minutes.values() for name in seconds})
    rows = [
        [name, *(_minutes(seconds.get(name)) for seconds in minutes.values())] for name in names
    ]
    rows.append(["all", *(_minutes(sum(seconds.values())) for seconds in minutes.values())])
    return _markdown(["minutes for", *minutes], rows)


def rendering(results: Path) -> str:
    """Frames a second of the renderer, aligned pictures in batches of eight."""
    known = read_json(results / "speed" / "faceworld.json")
    speed = lambda kind, px: f"{known[f'{kind}_{px}_px_aligned']['frames_a_second']:.3g}"
    rows = [[px, speed("compiled", px), speed("plain", px)] for px in (64, 128, 256)]
    return _markdown(["px", "compiled", "without a compiler"], rows)


def loops(results: Path) -> str:
    """Pictures a second of the training loops at `small`, and what a step is spent on."""
    known = read_json(results / "speed" / "training.json")["loops"]
    rows = []
    for name, loop in known.items():
        whole = sum(loop["seconds_a_step"].values())
        shares = sorted(loop["seconds_a_step"].items(), key=lambda item: -item[1])
        spent = ", ".join(f"{part} {seconds / whole:.0%}" for part, seconds in shares)
        rows.append([name, f"{loop['pictures_a_second']:.3g}", spent, loop["peak_mib"]])
    return _markdown(["loop", "pictures a second", "spent on", "peak MiB"], rows)


TABLES: dict[str, Callable[[Path], str]] = {
    "ablations": ablations,
    "ablations_nano": functools.partial(ablations, preset="nano"),
    "clock": clock,
    "cross_talk": cross_talk,
    "detectors": detectors,
    "explorer": explorer,
    "inversion": inversion,
    "latents": latents,
    "loops": loops,
    "networks": networks,
    "quality": quality,
    "rendering": rendering,
    "runs": runs,
    "smoothing": smoothing,
    "spreads": spreads,
    "synthesis": synthesis,
    "transfer": transfer,
    "video": video,
}


def _minutes(seconds: float | None) -> str:
    """As minutes and seconds; nothing where it was not measured."""
    return "" if seconds is None else "{}:{:02d}".format(*divmod(round(seconds), 60))


def _markdown(head: list[str], rows: list[list[object]]) -> str:
    index = pd.Index([row[0] for row in rows], name=head[0])
    return to_markdown(pd.DataFrame([row[1:] for row in rows], index=index, columns=head[1:]))


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.3g}"


def thumbnails(results: Path) -> list[Path]:
    """One small picture a notebook, of the figures that its last run has left."""
    made = []
    for name, figure in PICTURES.items():
        source = results / name / "figures" / figure
        if source.exists() and _is_small(results / name):
            picture = Image.open(source).convert("RGB")
            picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
            made.append(results / "thumbnails" / f"{name}.png")
            with atomic(made[-1]) as temporary:
                picture.quantize(64).save(temporary, format="png")
    return made


def _is_small(folder: Path) -> bool:
    """Whether the page's last run was of the shipped weights, which the README shows."""
    try:
        return read_json(folder / "run.json")["parameters"].get("preset", "small") == "small"
    except (BadFile, KeyError):
        return False


def main(root: Path = Path(".")) -> int:
    """Fill the README of a checkout and draw its thumbnails."""
    path = root / "README.md"
    write_text(path, fill(path.read_text(), root / "results"))
    thumbnails(root / "results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
