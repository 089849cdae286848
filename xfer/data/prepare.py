"""Videos, images and folders of them -> aligned clips; damaged inputs cost themselves only.

clips/, index.jsonl   see `xfer.data.clips`
manifest.jsonl        one line per input: what came of it, and why frames were rejected
stats.jsonl           the same of each input as soon as it is done, so that a stopped run goes on
"""

import faulthandler
import json
import multiprocessing
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from xfer.data.clips import Clips, claim, encode, split_of, write_clip, write_index
from xfer.data.inputs import Input, find_inputs
from xfer.detectors import Detector
from xfer.errors import BadFile, NoFace, RunError, UnwritableFile, XferError
from xfer.face_reader import Face, FaceReader
from xfer.media.align import crop, to_square
from xfer.media.images import Pixels, read_image
from xfer.media.video import Frame, open_video
from xfer.runs import atomic, read_stats

NOT_SETTINGS = {"inputs", "out", "n_workers", "scheduler", "retries", "hang_s"}
"""What may differ from run to run in one folder: no byte depends on it."""


@dataclass(frozen=True)
class PrepareConfig:
    """What `xfer prepare` makes of videos, images and folders.

    Args:
        inputs: Videos, images, and folders, which are searched to the bottom.
        out: Folder of the clips.
        size: Edge of the aligned frames in pixels.
        fps: Frames a second at most; a video with fewer keeps its own.
        people: "auto": by the names of known data sets, else a person per file; "folder": a person
            per folder directly below an input; "file": a person per file.
        least_face_px: Least edge of the crop in the input; below, a frame is "small".
        most_yaw_deg: Beyond, a frame is "turned".
        most_pitch_deg: Beyond, a frame is "turned".
        most_outside: Share of the crop beyond the input's edges; above, a frame is "outside".
        least_sharpness: Mean detail in levels of 255; below, a frame is "blurred". A focused face
            has 3 to 10 at 256 px.
        most_lost_s: A face lost for longer ends the shot.
        least_frames: A shot of a video with fewer frames is rejected as "short".
        most_frames: Longer shots become several clips.
        detector: What finds faces: landmarker, dlib or face-alignment.
        n_workers: Processes; by default one for each core; 0 works in this process.
        scheduler: Address of a running `dask scheduler`, in place of processes of our own.
        retries: How often an input is tried again after its worker died.
        hang_s: A worker that gets no further for so long is ended.
    """

    inputs: tuple[str, ...]
    out: str
    size: int = 256
    fps: float = 25.0
    people: Literal["auto", "folder", "file"] = "auto"
    least_face_px: int = 96
    most_yaw_deg: float = 60.0
    most_pitch_deg: float = 40.0
    most_outside: float = 0.2
    least_sharpness: float = 1.2
    most_lost_s: float = 0.2
    least_frames: int = 8
    most_frames: int = 250
    detector: Detector = "landmarker"
    n_workers: int | None = None
    scheduler: str | None = None
    retries: int = 1
    hang_s: float = 120.0


def prepare(config: PrepareConfig) -> Clips:
    """Prepare all inputs that are not done yet; give the clips of the folder.

    Raises:
        BadFile: Every input was rejected.
    """
    out = Path(config.out)
    inputs = find_inputs(config.inputs, config.people)
    with claim(out, config, NOT_SETTINGS) as run:
        noted = {note["line"]["input"]: note for note in read_stats(out)}
        results = {
            job.name: noted[job.name] for job in inputs if _holds(noted.get(job.name), job, out)
        }
        waiting = [job for job in inputs if job.name not in results]
        for job, result in tqdm(_work(waiting, config), "prepare", len(waiting), unit="input"):
            results[job.name] = run.log(**result)
        lines = [results[job.name]["line"] for job in inputs]
        with atomic(out / "manifest.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        clips = write_index(out, [file for job in inputs for file in results[job.name]["files"]])
        used = sum(line["used"] for line in lines)
        statuses = Counter(line["status"] for line in lines)
        run.finish(inputs=statuses, clips=len(clips), frames=used)
    status = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()))
    print(f"{out}: {status}; {len(clips)} clips, {used} frames", file=sys.stderr)
    if not used:
        reason, count = Counter(line["reason"] for line in lines).most_common(1)[0]
        raise BadFile(f"every input was rejected, {count} of {len(lines)} since: {reason}")
    return clips


def prepare_input(job: Input, config: PrepareConfig) -> dict[str, Any]:
    """Make the clips of one input and tell what came of it; raises what is not its fault."""
    cutter, status, reason = _Cutter(job, config, _reader(config.detector)), "ok", ""
    _watch(config)
    try:
        cutter.run()
        if not cutter.files:
            why = ", ".join(f"{n} {flaw}" for flaw, n in sorted(cutter.rejected.items()))
            raise NoFace(f"no usable face in {cutter.frames} frames ({why or 'none was read'})")
    except UnwritableFile:
        raise
    except Exception as error:
        status = "rejected" if isinstance(error, NoFace) else "damaged"
        reason = str(error) if isinstance(error, XferError) else f"{type(error).__name__}: {error}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    return _result(job, status, reason, cutter)


def _result(job: Input, status: str, reason: str, cutter: "_Cutter") -> dict[str, Any]:
    """An input's manifest line, its clips' files, and what tells whether it changed since."""
    line = {"input": job.name, "kind": job.kind, "person": job.person}
    line |= {"split": split_of(job.person), "status": status, "reason": reason}
    line |= {"frames": cutter.frames, "used": cutter.used, "clips": len(cutter.files)}
    line |= {"rejected": dict(sorted(cutter.rejected.items())), "remarks": cutter.remarks}
    return {"line": line, "files": cutter.files, "state": _state(job)}


def _holds(note: dict[str, Any] | None, job: Input, out: Path) -> bool:
    """Whether an earlier run's result stands: the input is the same and every file is there."""
    if note is None or note["state"] != _state(job) or note["line"]["person"] != job.person:
        return False
    return all((out / file).exists() for file in note["files"])


def _state(job: Input) -> list[int]:
    facts = Path(job.path).stat()
    return [facts.st_size, facts.st_mtime_ns]


@dataclass
class _Cutter:
    """Cuts the frames of one input into shots, and writes each shot as a clip."""

    job: Input
    config: PrepareConfig
    reader: FaceReader | None = None
    frames: int = 0
    used: int = 0
    rejected: Counter = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Read the input from end to end, one shot in memory at a time."""
        pending: deque[Frame] = deque()
        shot: list[tuple[bytes, Face, float]] = []
        last: tuple[Face, float] | None = None
        for face in self.reader.track(self._feed(pending)):
            image, time_s = pending.popleft()
            if face is None:
                self.rejected["lost"] += 1
                continue
            gone = last is not None and time_s - last[1] > self.config.most_lost_s
            if gone or len(shot) == self.config.most_frames or (last and _jumps(last[0], face)):
                self._close(shot)
            last = (face, time_s)
            if flaw := self._flaw(face, image.shape):
                self.rejected[flaw] += 1
                continue
            aligned = crop(image, face.quad, self.config.size)
            if sharpness(aligned) < self.config.least_sharpness:
                self.rejected["blurred"] += 1
                continue
            shot.append((encode(aligned), face, time_s))
        self._close(shot)

    def _feed(self, pending: deque[Frame]) -> Iterator[Frame]:
        """Frames at the rate that is wanted; those the tracker has not answered yet wait."""
        last = -1
        for frame in self._read():
            _watch(self.config)
            if (place := int(frame.time_s * self.config.fps + 0.01)) > last:
                last, self.frames = place, self.frames + 1
                pending.append(frame)
                yield frame

    def _read(self) -> Iterator[Frame]:
        path = Path(self.job.path)
        if self.job.kind == "image":
            yield Frame(read_image(path), 0.0)
            return
        video = open_video(path)
        try:
            yield from video
        finally:
            self.remarks += video.remarks

    def _flaw(self, face: Face, shape: Sequence[int]) -> str:
        """Why a frame cannot serve; nothing if it can."""
        config, low, high = self.config, face.quad.min(0), face.quad.max(0)
        inside = np.minimum(high, shape[1::-1]) - np.maximum(low, 0)
        flaws = {
            "small": np.linalg.norm(face.quad[1] - face.quad[0]) < config.least_face_px,
            "turned": abs(face.yaw_deg) > config.most_yaw_deg
            or abs(face.pitch_deg) > config.most_pitch_deg,
            "outside": inside.clip(0).prod() < (1 - config.most_outside) * (high - low).prod(),
        }
        return next((flaw for flaw, holds in flaws.items() if holds), "")

    def _close(self, shot: list[tuple[bytes, Face, float]]) -> None:
        """Write a shot, or reject it as too short, and begin the next."""
        if len(shot) < (self.config.least_frames if self.job.kind == "video" else 1):
            self.rejected += Counter({"short": len(shot)})  # a sum drops zeros
        else:
            pages, faces, times = zip(*shot, strict=True)
            arrays = {
                "factors": [face.factors for face in faces],
                "blendshapes": [face.blendshapes for face in faces],
                "landmarks": [_aligned_landmarks(face, self.config.size) for face in faces],
                "time_s": times,
            }
            name = f"{self.job.name}/{len(self.files):04d}"
            arrays = {key: np.array(rows, np.float32) for key, rows in arrays.items()}
            out, person, source = self.config.out, self.job.person, self.job.name
            clip = write_clip(out, name, person, pages, source, arrays=arrays)
            self.files.append(clip.file)
            self.used += len(shot)
        shot.clear()


def sharpness(image: Pixels) -> float:
    """Mean detail in the middle of an aligned image, in levels of 255."""
    quarter = len(image) // 4
    grey = image[quarter:-quarter, quarter:-quarter].mean(2, dtype=np.float32)
    return float(np.abs(grey - ndimage.gaussian_filter(grey, 0.004 * len(image) + 0.5)).mean())


def _jumps(before: Face, after: Face) -> bool:
    """Whether the face is elsewhere from one frame to the next, as after a cut."""
    old, new = before.landmarks[:, :2], after.landmarks[:, :2]  # crops are smoothed over cuts
    height, now = np.ptp(old, axis=0).max(), np.ptp(new, axis=0).max()
    moved = np.linalg.norm(old.mean(0) - new.mean(0))
    return bool(moved > 0.5 * height or not 0.7 * height < now < 1.4 * height)


def _aligned_landmarks(face: Face, size: int) -> np.ndarray:
    """Landmarks in pixels of the aligned frame."""
    inside = to_square(face.landmarks[:, :2], face.quad, size)
    scale = size / np.linalg.norm(face.quad[3] - face.quad[0])
    return np.concatenate([inside, face.landmarks[:, 2:] * scale], 1)


def _watch(config: PrepareConfig) -> None:
    """End this process, if it is a worker, unless called again in time."""
    if multiprocessing.parent_process() is not None:
        faulthandler.dump_traceback_later(config.hang_s, exit=True)


_reader = cache(FaceReader)
"""One for each detector, for all inputs of a process."""


def _work(inputs: Sequence[Input], config: PrepareConfig) -> Iterator[tuple[Input, dict[str, Any]]]:
    """Prepare inputs, a task of the cluster each."""
    if not inputs or (config.n_workers == 0 and not config.scheduler):
        yield from ((job, prepare_input(job, config)) for job in inputs)
        return
    from distributed import KilledWorker, as_completed

    with _client(config) as client:
        submit = lambda job: client.submit(
            prepare_input, job, config, pure=False, retries=config.retries
        )
        jobs = {submit(job): job for job in inputs}
        for future in as_completed(list(jobs)):
            job = jobs.pop(future)
            try:
                yield job, future.result()
            except KilledWorker:  # without a state that holds, so the next run tries again
                why = f"every process that read it died, or hung for {config.hang_s:g} s"
                yield job, _result(job, "damaged", why, _Cutter(job, config)) | {"state": None}


@contextmanager
def _client(config: PrepareConfig) -> Iterator[Any]:
    """A client of the scheduler, or of processes of our own."""
    import dask
    from distributed import Client, LocalCluster

    if config.scheduler:
        with Client(config.scheduler) as client:
            yield client
        return
    # One task a worker: whoever waits behind a deadly input must not be blamed for its deaths.
    scheduler = {
        "distributed.scheduler.allowed-failures": config.retries,
        "distributed.scheduler.worker-saturation": 1.0,
    }
    own = {"n_workers": config.n_workers, "threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set(scheduler):
        try:
            cluster = LocalCluster(**own)
        except RuntimeError as error:
            raise RunError(f"a worker died while it started ({error}); run again") from error
        with cluster, Client(cluster) as client:
            yield client
