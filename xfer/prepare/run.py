"""The whole job: sources in, shards and one index out; stopped at any moment, it goes on later."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xfer.datasets.layout import SETTINGS
from xfer.errors import RunError, expect
from xfer.media.detectors import choose_detector
from xfer.prepare.locks import holding
from xfer.prepare.pool import Limits, Pool, Task
from xfer.prepare.records import Settings
from xfer.prepare.shards import (
    WORK,
    discard_parts,
    groups_of,
    join_group,
    part_of,
    records_of,
    write_index,
    write_record,
)
from xfer.prepare.sources import Input, find_inputs
from xfer.runs import Progress, Run, read_json, write_json

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
"""Shares of people in the splits."""
LANDMARKS = ("auto", "truth", "dlib", "face-alignment")


@dataclass(frozen=True)
class Summary:
    """What came of a preparation."""

    folder: Path
    good: int
    bad: int
    frames: int
    complete: bool
    """False while other machines' shares are missing."""
    is_share: bool = False
    """Whether it tells of one share of several, before they are joined."""

    def __str__(self) -> str:
        state = "all shares are done" if self.complete else "other shares are missing"
        place = "manifest.jsonl, which merge writes" if self.is_share else "manifest.jsonl"
        return (
            f"{self.folder}: {self.good} good inputs, {self.bad} rejected, {self.frames} frames"
            + (f"; {state}, join them with merge" if self.is_share else "")
            + (f". Why inputs were rejected stands in {place}" if self.bad else "")
        )


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: Settings | None = None,
    *,
    people: str = "auto",
    images: str = "auto",
    workers: int | None = None,
    share: tuple[int, int] = (0, 1),
    clips_per_shard: int = 32,
    splits: dict[str, float] | None = None,
    limits: Limits | None = None,
) -> Summary:
    """Make aligned clips of videos, folders of frames and pictures; a repeated call goes on.

    Args:
        sources: Files and folders; see `find_inputs` for them, `people` and `images`.
        out: A folder for this preparation alone.
        settings: `landmarks` may also be 'auto' (the best reader that can run, the default)
            or 'truth' (only clips of the face world).
        workers: Processes at a time; one for each core by default.
        share: (i, n) prepares the i-th of n shares, for a job of n machines on one folder;
            `merge` joins them. The numbers may go from 0 to n - 1 or from 1 to n.
        clips_per_shard: Inputs that give one shard; 64 single pictures count as one.
        splits: Share of people in every split; the first takes the rest.

    Raises:
        RunError: The folder holds another preparation, or another process works on this one.
    """
    out, limits = Path(out), limits or Limits()
    splits = splits or SHARES
    i, n = share
    expect(0 <= i <= n and n >= 1, f"a share is i of n, with i up to n; got {i} of {n}")
    expect(clips_per_shard >= 1, f"a shard holds at least one clip; got {clips_per_shard}")
    expect(workers is None or workers >= 1, f"at least one process prepares; got {workers} workers")
    settings = settings or Settings(landmarks="auto")
    _check(settings)
    inputs = find_inputs(sources, people, images)
    groups = groups_of(inputs, clips_per_shard)
    settings = _settled(settings, inputs, out)
    record = _record(inputs, groups, settings, splits)
    with _held(out, record, share) as run:
        mine = {number: group for number, group in enumerate(groups) if number % n == i % n}
        _sweep(out, mine, alone=n == 1)
        pool = Pool(workers or os.cpu_count() or 1, settings, limits)
        frames, seconds = _work(out, mine, pool)
        complete = all(records_of(out, number).exists() for number in range(len(groups)))
        if n == 1:
            write_index(out, len(groups), splits)
            shutil.rmtree(out / WORK, ignore_errors=True)
        summary = replace(summarise(out, list(mine), complete), is_share=n > 1)
        run.finish(
            good=summary.good, bad=summary.bad, frames=summary.frames,
            frames_this_time=frames, seconds_this_time=round(seconds, 1),
        )  # fmt: skip
    return summary


@contextlib.contextmanager
def _held(out: Path, record: dict[str, Any], share: tuple[int, int]) -> Iterator[Run]:
    """The record of this share's run, begun, in a folder that is for this and free for it."""
    i, n = share
    run = Run(out / "runs" / f"{i % n}-of-{n}", record)
    with contextlib.ExitStack() as stack:
        stack.callback(run.leave)
        stack.enter_context(holding(out, shared=n > 1))
        _claim(out, record)
        yield stack.enter_context(run)


def _check(settings: Settings) -> None:
    """Raise `BadValue` for what no input could be prepared with."""
    expect(
        settings.landmarks in LANDMARKS,
        f"landmarks are {', '.join(LANDMARKS)}; got '{settings.landmarks}'",
    )
    expect(settings.size >= 8, f"aligned pictures have at least 8 pixels; got {settings.size}")
    expect(
        settings.picture_format in ("jpg", "png"),
        f"frames are kept as jpg or png; got '{settings.picture_format}'",
    )
    expect(0 < settings.fps < math.inf, f"fps is a number of frames above 0; got {settings.fps:g}")
    expect(
        settings.most_frames is None or settings.most_frames >= 1,
        f"at least one frame of a video is read; got most_frames {settings.most_frames}",
    )


def _settled(settings: Settings, inputs: list[Input], out: Path) -> Settings:
    """The settings with `auto` and `truth` replaced by what they mean for these inputs."""
    if settings.landmarks == "truth":
        return replace(settings, only_truth=True)
    if settings.landmarks == "auto":
        if all(item.kind == "world" for item in inputs):
            print("landmarks are the face world's own", file=sys.stderr, flush=True)
            return replace(settings, landmarks="truth")
        if (out / SETTINGS).exists():
            return replace(settings, landmarks=read_json(out / SETTINGS)["settings"]["landmarks"])
    return replace(settings, landmarks=choose_detector(settings.landmarks))


def _record(
    inputs: list[Input], groups: list[list[Input]], settings: Settings, splits: dict[str, float]
) -> dict[str, Any]:
    """What was asked for: the same request gives the same record."""
    listing = hashlib.sha256()
    for item in inputs:
        listing.update(repr((item.kind, item.clip, item.person)).encode("utf-8", "replace"))
    return {
        "settings": asdict(settings),
        "splits": splits,
        "inputs": len(inputs),
        "inputs_sha256": listing.hexdigest(),
        "groups": len(groups),
    }


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Write down what the folder is for, or check that it is for this."""
    path = out / SETTINGS
    if not path.exists():
        write_json(path, record)
        return
    before = read_json(path)
    differing = sorted(key for key in record if before.get(key) != record[key])
    if differing:
        what = {"settings": "other settings", "splits": "other splits"}
        reasons = {what.get(key, "other inputs or a change of the sources") for key in differing}
        raise RunError(
            f"{out} holds a preparation with {' and '.join(sorted(reasons))}; "
            "choose another folder (merge joins several), or remove it"
        )


def _sweep(out: Path, groups: dict[int, list[Input]], alone: bool) -> None:
    """Remove what a process that was killed left half-written or half-removed."""
    for path in out.glob(".*.part") if alone else ():
        path.unlink(missing_ok=True)
    names = {part_of(out, item).name for group in groups.values() for item in group}
    names |= {f"{number:06d}" for number in groups}
    for path in out.glob("*/.*.part"):
        if path.name.lstrip(".").split(".")[0] in names:
            path.unlink(missing_ok=True)
    for number, group in groups.items():
        if records_of(out, number).exists():
            discard_parts(out, group)


def _work(out: Path, groups: dict[int, list[Input]], pool: Pool) -> tuple[int, float]:
    """Prepare what is not yet done; each group is joined as soon as its last input is."""
    waiting, tasks = {}, []
    for number, group in groups.items():
        if not records_of(out, number).exists():
            todo = [i for i in group if not part_of(out, i).with_suffix(".json").exists()]
            waiting[number] = {item.number for item in todo}
            tasks += [Task(item, part_of(out, item)) for item in todo]
    for number in [number for number, left in waiting.items() if not left]:
        join_group(out, number, groups[number])
    group_of = {number: group for group, left in waiting.items() for number in left}
    progress, frames, start = Progress(len(tasks), "preparing", "inputs"), 0, time.monotonic()
    (out / WORK).mkdir(exist_ok=True)
    for task, found in pool.run(tasks):
        item, number = task.job, group_of[task.job.number]
        write_record(out, item, _line(item, found))
        waiting[number].discard(item.number)
        if not waiting[number]:
            join_group(out, number, groups[number])
        frames += found.get("frames_read", 0)
        rate = frames / max(time.monotonic() - start, 1e-9)
        progress.advance(frames_a_second=round(rate, 1))
    progress.close()
    return frames, time.monotonic() - start


def _line(item: Input, found: dict[str, Any]) -> dict[str, Any]:
    """The manifest line of an input."""
    about = {
        "number": item.number, "input": item.shown_path, "kind": item.kind, "clip": item.clip,
        "person": item.person,
    }  # fmt: skip
    # The line names the input; the reason need not repeat where it lies.
    reason = found.get("reason", "").replace(item.path, "it")
    return about | found | {"reason": reason}


def summarise(out: Path, groups: Sequence[int], complete: bool) -> Summary:
    """Counts over finished groups."""
    lines = [
        json.loads(line)
        for number in groups
        for line in records_of(out, number).read_text().splitlines()
    ]
    good = [line for line in lines if line["status"] == "good"]
    frames = sum(line["frames_kept"] for line in good)
    return Summary(out, len(good), len(lines) - len(good), frames, complete)
