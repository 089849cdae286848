"""What is timed for a frame of a film is the method's own answer."""

import pytest
import torch

from xfer.baselines import Transferred, baselines
from xfer.evaluate.speed import per_frame, speed
from xfer.evaluate.trials import world_trials
from xfer.reenact.studio import untrained_model
from xfer.rival import StyleMask, StyleMaskConfig, StyleSwap, style_channels


@pytest.fixture(scope="module")
def methods():
    model = untrained_model()
    torch.manual_seed(0)
    mask = StyleMask(StyleMaskConfig(style_channels(model.generator), 4)).eval()
    rival = StyleSwap(mask, model.generator, model.identity_encoder)
    return {"mine": Transferred(model), "rival": rival} | baselines(model)


@pytest.fixture(scope="module")
def trials(methods):
    return world_trials(2, 1, methods["mine"].model.generator.resolution, compiled=False)


def test_a_frame_with_a_known_identity_is_the_method_s_own(methods, trials):
    one = trials.index([0])
    for name in ("mine", "rival", "latent difference", "copy driver, inverted"):
        frame = per_frame(methods[name], one.driver, one.identity)
        expected = methods[name](one.driver, one.identity)
        with torch.no_grad():
            assert torch.allclose(frame(one.driver.picture), expected, atol=1e-4), name


def test_copies_have_no_network_to_be_timed(methods, trials, monkeypatch):
    monkeypatch.setattr("xfer.evaluate.speed.SECONDS", 0.0)
    known = speed(methods, trials)
    assert list(known["frames_a_second"]) == [
        "mine", "rival", "copy driver, inverted", "latent difference", "ceiling",
    ]  # fmt: skip
    assert all(rate > 0 for rate in known["frames_a_second"].values())
    assert known["threads"] == torch.get_num_threads() and known["device"] == "cpu"
