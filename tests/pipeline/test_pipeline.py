"""One command from nothing to a judged model; stopped or killed, it goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from elsewhere import NAME, elsewhere
from small_disk import room_for

from xfer.cli import main
from xfer.errors import BadValue, RunError, UnwritableFile
from xfer.instruments import load_instruments
from xfer.model import Transfer
from xfer.pipeline import command, rendering, stages
from xfer.pipeline.ledger import Ledger
from xfer.pipeline.rendering import FrameSet, plan
from xfer.pipeline.stages import STAGES
from xfer.runs import read_json
from xfer.training import following
from xfer.training.world_frames import render_frames

QUICK = [
    f"{stage}.{key}"
    for stage in stages.PRESETS
    for key in ("batch=4", "total_kimg=0.016", "tick_kimg=0.008", "save_kimg=0.008")
]
NAMES = [
    "generator", "inverter", "judge", "loss", "model", "together", "transfer", "warm_start",
]  # fmt: skip


@pytest.fixture
def few(monkeypatch):
    """Eight people, seen twice."""
    seeds = {"unseen": 1000, "seen": 0, "others": 2000, "clips": 3000}
    sets = {name: FrameSet(8, 2, seed) for name, seed in seeds.items()}
    sets["clips"] = FrameSet(8, 2, 3000, "person")
    monkeypatch.setitem(rendering.SETS, "nano", sets)
    monkeypatch.setattr(rendering, "LEAST_PEOPLE", 8)
    monkeypatch.setattr(stages, "MOST_JUDGED", 8)


def run(out, *settings):
    return command.run(out, "nano", 0.01, "cpu", settings=[*QUICK, *settings])


def test_one_command_goes_on_after_a_stop_and_ends_in_a_judged_model(tmp_path, few, monkeypatch):
    out, describe = tmp_path / "out", following.describe

    def stop(record):
        if "identity_1" in record:  # the inverter's
            os.kill(os.getpid(), signal.SIGTERM)
        return describe(record)

    monkeypatch.setattr(following, "describe", stop)
    asked = ["--out", str(out), "--preset", "nano", "--minutes", "0.01", "--device", "cpu"]
    assert main(["train", "all", *asked, "--set", *QUICK]) == 130
    before = {path.stem: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert sorted(before) == ["generator", "judge", "loss", "warm_start"]
    monkeypatch.setattr(following, "describe", describe)
    path = run(out)
    assert path == out / "model.safetensors"
    after = {path.stem: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert sorted(after) == NAMES
    assert all(after[name] == before[name] for name in before)  # not made again
    model = Transfer.load(path)
    assert model.identity_encoder is not None
    assert model.transfer(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)).shape[2] == 32
    assert load_instruments(out / "judge.safetensors", "judge").errors
    kept = {path.name for path in (out / "records").iterdir()}
    runs = {"loss-reader", "loss-recogniser", "judge-reader", "judge-recogniser", "warm_start"}
    runs |= {"generator", "inverter", "together", "transfer"}
    assert kept == runs | {"evaluation", "pipeline.json"}
    assert list((out / "records" / "transfer" / "sheets").glob("*.png"))
    assert (out / "records" / "evaluation" / "table.md").exists()
    log = (out / "log.txt").read_text()
    assert log.count("loss: done before") == 1 and "d_loss" in log and "== done" in log
    told = read_json(out / "pipeline.json")
    assert told["finished"] == list(STAGES) and all(told["seconds"][name] > 0 for name in STAGES)

    (out / "model.safetensors").unlink()  # what is gone is made again, and nothing else
    assert run(out).exists()
    assert (out / "log.txt").read_text().count("controls: done in") == 2


def test_a_slip_in_a_setting_is_told_before_anything_is_rendered(tmp_path):
    for wrong, told in (
        ("batch=8", "STAGE.key=value"),
        ("invertor.batch=8", "no stage 'invertor'"),
        ("inverter.bacth=8", "did you mean 'batch'"),
    ):
        with pytest.raises(BadValue, match=told):
            command.run(tmp_path / "out", "nano", settings=[wrong])
    with pytest.raises(BadValue, match="no preset 'paper'"):
        command.run(tmp_path / "out", "paper")
    assert not (tmp_path / "out").exists()


def test_batches_stay_where_a_pipeline_goes_on_without_its_gpu(tmp_path, monkeypatch):
    """A run that changed its batch would count its pictures wrongly, and is refused."""
    work = lambda: stages.Work(
        tmp_path, "nano", "auto", 0, {}, Ledger(tmp_path / "pipeline.json", {}, {"inverter": 1}, 1)
    )
    monkeypatch.setattr(stages, "best_device", lambda _: torch.device("cuda"))
    begun = work().chosen("inverter")
    assert "batch=64" in begun
    monkeypatch.setattr(stages, "best_device", lambda _: torch.device("cpu"))
    assert work().chosen("inverter") == begun


def test_fewer_people_where_time_is_short():
    whole = plan("small", 1e6, 100.0)
    assert whole == {name: one.people for name, one in rendering.SETS["small"].items()}
    wanted = sum(one.people * one.frames for one in rendering.SETS["small"].values())
    assert plan("small", wanted / 200, 100.0)["seen"] == whole["seen"] // 2
    assert set(plan("small", 1, 1.0).values()) == {rendering.LEAST_PEOPLE}


def lacking(error):
    """A stage that runs out of memory; the error says so itself, or was raised from one."""

    def make(_):
        raise error

    return make


TOLD = RunError("out of memory at batch 8; lower it with --set batch=N")
TOLD.__cause__ = MemoryError()


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA"), TOLD])
@pytest.mark.parametrize(
    ("name", "lower"), [("inverter", "--set inverter.batch=N or a"), ("latents", "a")]
)
def test_a_stage_that_runs_out_of_memory_is_named_with_what_to_lower(
    error, name, lower, tmp_path, monkeypatch
):
    monkeypatch.setitem(STAGES, name, stages.Stage(1.0, lacking(error)))
    ledger = Ledger(tmp_path / "pipeline.json", {}, {name: 1}, 1)
    work = stages.Work(tmp_path, "nano", "cpu", 0, {}, ledger)
    with pytest.raises(RunError, match=f"in stage {name}; lower it with {lower} smaller --preset"):
        command.run_stage(work, name)
    assert name in ledger.seconds and name not in ledger.finished


def test_a_machine_that_can_render_in_no_way_is_told_to_lack_memory(monkeypatch):
    monkeypatch.setattr(rendering, "render", lambda *_, **__: torch.empty(1 << 60))
    with pytest.raises(MemoryError, match="no way to render 16 px"):
        rendering.fastest_renderer(16, "cpu")


def test_a_log_that_finds_no_room_is_told(tmp_path, monkeypatch):
    told = pytest.raises(UnwritableFile, match=r"log\.txt cannot be written: .*\. Make room")
    with open(os.devnull, "w") as nowhere:  # pytest's own files would be full, too
        monkeypatch.setattr(sys, "stdout", nowhere)
        monkeypatch.setattr(sys, "stderr", nowhere)
        with told, command.said_twice(tmp_path / "log.txt"), room_for(20):
            for _ in range(9):
                command.say("a line")
        monkeypatch.undo()
    assert (tmp_path / "log.txt").read_text().startswith("== a line\n" * 2)


@pytest.mark.long
def test_nothing_is_left_behind_on_the_way_to_another_device(tmp_path, few, monkeypatch):
    """Every loop, latents, controls and judgement, on a GPU that there is not."""
    ways = lambda device: iter([rendering.Renderer("cpu", True, 16)])
    monkeypatch.setattr(rendering, "_ways", ways)
    played = ["generator.critic_first_kimg=0", "generator.path_interval=2"]
    with elsewhere(monkeypatch):
        with pytest.raises(RuntimeError, match="some on the CPU"):
            torch.ones(2, device=NAME) + torch.ones(2)
        render_frames(tmp_path / "frames", 1, 2, 16, compiled=False, device=NAME)
        command.run(tmp_path / "out", "nano", 0.5, NAME, settings=[*QUICK, *played])


@pytest.mark.long
def test_killed_at_any_moment_it_goes_on(tmp_path):
    """Kill -9 every few seconds, until a call comes through."""
    asked = ["--out", str(tmp_path / "out"), "--preset", "nano", "--minutes", "2"]
    code = [sys.executable, "-m", "xfer.cli", "train", "all", *asked, "--device", "cpu"]
    kills = 0
    while True:
        going = subprocess.Popen(code, stderr=subprocess.DEVNULL)
        try:
            assert going.wait(20 + 5 * kills) == 0
            break
        except subprocess.TimeoutExpired:
            going.kill()
            going.wait()
            kills += 1
            time.sleep(0.1)
    told = read_json(tmp_path / "out" / "pipeline.json")
    print(f"{kills} kills, {sum(told['seconds'].values()):.0f} s in all")
    assert kills >= 3 and Transfer.load(tmp_path / "out" / "model.safetensors")
