"""The explorer on a generator whose image is as bright as its code, and a reader of brightness."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xfer.control import Control
from xfer.errors import BadFile, BadValue, MissingFile, NoFace
from xfer.explorer import FULL, CameraDriver, Explorer, State
from xfer.explorer_panel import Panel
from xfer.face_reader import Face, FaceReader
from xfer.landmarker import FACTORS
from xfer.media.images import read_image
from xfer.media.provenance import Source
from xfer.media.video import VideoWriter
from xfer.model import Transfer
from xfer.pipeline import TransferPipeline

STYLES, WIDTH = 3, 12
N, SMILE = len(FACTORS), FACTORS.index("smile")


class BrightGenerator(nn.Module):
    n_styles, w_dim, z_dim, resolution = STYLES, WIDTH, WIDTH, 16
    prepare = lambda self, size=None: self
    mapping = lambda self, z: z / 3
    truncate = lambda self, w_plus, psi: psi * w_plus
    to_w_plus = lambda self, w: w[:, None].expand(-1, STYLES, -1)
    synthesis = lambda self, w_plus: self.preview(w_plus, 16)

    def __init__(self):
        super().__init__()
        self.register_buffer("w_mean", torch.zeros(WIDTH))

    def preview(self, w_plus, size):
        return w_plus[:, 0, 0, None, None, None].expand(-1, 3, size, size)

    def frames(self, w_plus):
        level = (127.5 * w_plus[:, 0, 0] + 128).clamp(0, 255).to(torch.uint8).numpy()
        return np.broadcast_to(level[:, None, None, None], (len(w_plus), FULL, FULL, 3))


class BrightReader(FaceReader):
    """Finds a face wherever an image is not black; its brightness is the smile."""

    def __init__(self):
        pass

    def main(self, image, face=None):
        factors = np.zeros(N, np.float32)
        factors[SMILE] = image.mean() / 255
        quad, points = (
            np.array([[8.0, 8], [8, 24], [24, 24], [24, 8]]),
            np.zeros((478, 3), np.float32),
        )
        shapes = np.zeros(52, np.float32)
        face = Face(points, shapes, 0.0, 0.0, 0.0, 1, quad, factors)
        return face if image.max() > 8 else None

    def track(self, frames, *_, **__):
        return (self.main(frame.image) for frame in frames)


@pytest.fixture
def explorer(monkeypatch):
    monkeypatch.setattr(TransferPipeline, "_own_motion", lambda *_: torch.full((1, N), 0.24))
    monkeypatch.setattr(Explorer, "read", lambda self, image: {})
    monkeypatch.setattr(Explorer, "distance", lambda self, state, image: 0.25)
    directions = torch.zeros(N, STYLES, WIDTH)
    directions[SMILE, :2, 0] = 0.1
    control = Control.from_directions(directions, torch.eye(WIDTH), n_styles=STYLES)
    model = Transfer(BrightGenerator(), control=control)
    model.asset = "ffhq"  # whose random identities are plain w
    return Explorer(TransferPipeline(model, device="cpu", reader=BrightReader()), lambda _: None)


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
    motions = [
        camera.read(image // k, time_s)[1][0, SMILE] for k, time_s in ((1, 9), (1, 11), (2, 15))
    ]
    assert motions[0] == motions[2]  # the neutral is that of the first seconds
    with pytest.raises(NoFace):
        camera.read(0 * image, 16.0)


def test_a_photo_is_opened_once_with_gradients_and_whatever_the_truncation(explorer, monkeypatch):
    identity, calls = explorer.pipeline.identity("random:1"), []
    opened = lambda text: (calls.append(torch.is_grad_enabled()), identity)[1]
    monkeypatch.setattr(explorer.pipeline, "identity", opened)
    for psi in (0.7, 0.2):
        assert torch.equal(explorer.w_plus(State("photo.png", psi=psi)), identity.w_plus)
    assert calls == [True]


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
    panel.set(replace(first, frame=7))
    assert panel.state.frame == 7
    panel._controls["identity"].value = "nowhere.png"
    wait(lambda: "nowhere.png" in panel.screen.text)
    panel._reset("identity")
    wait(lambda: "identity distance" in panel.screen.text)


def test_what_is_overtaken_is_never_rendered(explorer, monkeypatch):
    panel, seen, hold = Panel(explorer, State("random:1")), [], threading.Event()
    wait(lambda: "identity distance" in panel.screen.text)
    view = Explorer.view
    monkeypatch.setattr(
        Explorer, "view", lambda self, state, *a: (seen.append(state.psi), view(self, state, *a))[1]
    )
    panel.worker.do(hold.wait)
    psi = panel._controls["psi"]
    psi.value, psi.value, psi.value = 0.1, 0.2, 0.3
    hold.set()
    wait(lambda: len(seen) == 3)  # preview, full, and unmoved to compare
    assert set(seen) == {0.3}


def wait(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
