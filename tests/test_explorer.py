"""The explorer on a generator whose image is as bright as its code, and a reader of brightness."""

import json
import threading
from dataclasses import replace
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from lamp import BrightnessReader, Lamp, moving
from waiting import wait

from xfer.errors import BadFile, BadValue, MissingFile, NoFace
from xfer.explorer import FULL, CameraDriver, Explorer, State
from xfer.explorer_panel import Panel
from xfer.landmarker import FACTORS
from xfer.media.images import Source, read_image
from xfer.media.video import VideoWriter
from xfer.model import Transfer
from xfer.pipeline import TransferPipeline

N, SMILE = len(FACTORS), FACTORS.index("smile")


@pytest.fixture
def explorer(monkeypatch):
    monkeypatch.setattr(TransferPipeline, "_own_motion", lambda *_: torch.full((1, N), 0.24))
    monkeypatch.setattr(Explorer, "read", lambda self, image: {})
    monkeypatch.setattr(Explorer, "distance", lambda self, state, image: 0.25)
    model = Transfer(Lamp(), control=moving("smile", 0, 1))
    model.asset = "ffhq"  # whose random identities are plain w
    pipeline = TransferPipeline(model, device="cpu", reader=BrightnessReader())
    return Explorer(pipeline, lambda _: None)


def test_without_moves_it_is_exactly_the_identity_and_each_control_moves_its_rows(explorer):
    start = State("random:1")
    own = explorer.pipeline.identity("random:1").w_plus
    assert torch.equal(explorer.w_plus(start), own)
    moved = lambda **change: (explorer.w_plus(replace(start, **change)) - own)[0]
    assert moved(factors={"smile": 1.0})[:, 0].numpy() == pytest.approx([0.1, 0.1, 0.0], abs=0.01)
    assert moved(styles={2: 1.0}).abs().sum(1).bool().tolist() == [False, False, True]
    assert torch.allclose(moved(components={3: 2.0}), 2 * explorer.directions[[3] * 3], atol=1e-6)
    other = explorer.pipeline.identity("random:5").w_plus[0]
    mixed = moved(mix="random:5", mix_share=1.0, mix_styles=(1, 1))
    assert torch.allclose(mixed[1], other[1] - own[0, 1]) and not mixed[[0, 2]].any()


def test_a_driver_moves_it_as_the_pipeline_does_and_neutralising_takes_the_smile_away(explorer):
    pipeline, motion = explorer.pipeline, torch.full((1, N), 0.48)
    identity, neutral = pipeline.identity("random:1"), torch.zeros(1, N)
    wanted = pipeline.move(identity, motion, neutral)
    assert torch.allclose(explorer.w_plus(State("random:1"), (motion, neutral)), wanted)
    assert explorer.neutralised(State("random:1", driver="x.png")).factors["smile"] == -1.0


def test_a_video_is_read_once_and_lost_frames_repeat_the_one_before(explorer, tmp_path):
    path = str(tmp_path / "driver.mp4")
    with VideoWriter(path, (32, 32), 25, Source.GENERATED) as out:
        for level in (0, 50, 0, 150, 200):
            out.write(np.full((32, 32, 3), level, np.uint8))
    track = explorer.track(path)
    smiles = track.motions[:, SMILE].numpy() * 255
    assert smiles == pytest.approx([50, 50, 50, 150, 200], abs=4)
    assert track.neutral[0, SMILE] * 255 == pytest.approx(50, abs=4) and len(track.crops) == 5
    moved = [explorer.w_plus(State(driver=path, frame=k))[0, 0, 0] for k in range(5)]
    assert moved[0] == moved[2] < moved[3] < moved[4] and explorer.track(path) is track
    camera, image = CameraDriver(explorer.pipeline), np.full((32, 32, 3), 100, np.uint8)
    smile = lambda darker, time_s: camera.read(image // darker, time_s)[1][0, SMILE]
    first, _, last = smile(1, 9), smile(1, 11), smile(2, 15)
    assert first == last  # the neutral is that of the first seconds
    with pytest.raises(NoFace):
        camera.read(0 * image, 16.0)


def test_a_state_comes_back_from_its_file_and_other_files_are_refused(explorer, tmp_path):
    state = State("random:3", styles={1: 0.5}, factors={"yaw": -1.0}, mix_styles=(1, 2))
    path = explorer.save(state, tmp_path / "a.png")
    assert State.open(path) == state and read_image(path).shape == (FULL, FULL, 3)
    whole = json.loads(path.with_suffix(".json").read_text())
    for wrong in ("[]", '{"psi": 1}', json.dumps(whole | {"psi": "x"})):
        (tmp_path / "b.json").write_text(wrong)
        with pytest.raises(BadFile, match="state of the explorer"):
            State.open(tmp_path / "b.png")
    with pytest.raises(BadValue, match="nose"):
        explorer.view(State(factors={"nose": 1.0}))
    with pytest.raises(MissingFile):
        explorer.view(State("nowhere.png"))


def test_a_drag_is_undone_as_one_and_errors_stand_on_the_page(explorer, tmp_path):
    panel = Panel(explorer, State("random:1"), tmp_path)
    first, smile = panel.state, panel._controls["factors.smile"]
    smile.value, smile.value, panel._controls["psi"].value = 0.5, 1.5, 0.4
    wait(lambda: "identity distance 0.25" in panel.screen.text)
    assert panel.state.factors == {"smile": 1.5} and panel.screen.unmoved
    panel.undo()
    panel.undo()
    assert panel.state == first and smile.value == 0 and panel._controls["psi"].value == 0.7
    panel.set(replace(first, strength=3.0))
    assert panel.state.strength == 2, "where the slider ends"
    panel.set(panel.state)
    panel.undo()
    assert panel.state == first
    panel.set(replace(first, frame=7))
    assert panel.state.frame == 7
    panel._controls["identity"].value = "nowhere.png"
    wait(lambda: "nowhere.png" in panel.screen.text)
    panel._reset("identity")
    wait(lambda: "identity distance" in panel.screen.text)


def test_what_is_overtaken_is_never_rendered(explorer, monkeypatch):
    panel, hold = Panel(explorer, State("random:1")), threading.Event()
    wait(lambda: "identity distance" in panel.screen.text)
    view = create_autospec(Explorer.view, side_effect=Explorer.view)
    monkeypatch.setattr(Explorer, "view", view)
    panel.worker.do(hold.wait)
    psi = panel._controls["psi"]
    psi.value, psi.value, psi.value = 0.1, 0.2, 0.3
    hold.set()
    wait(lambda: view.call_count == 3)  # preview, full, and unmoved to compare
    assert {call.args[1].psi for call in view.call_args_list} == {0.3}
