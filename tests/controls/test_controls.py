"""Controls learned in a linear world, where the right answer is known."""

import pytest
import torch
from elsewhere import NAME, elsewhere
from linear_world import NAMES, SCALE, LinearWorld
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from xfer.controls import Controls, calibrate, learn_controls, measure_response
from xfer.controls.factors import FAR, FARTHEST
from xfer.controls.landmarks import LandmarkReader
from xfer.errors import BadValue
from xfer.files import Network, read_checkpoint, write_checkpoint

spreads = lambda x: x / SCALE


@pytest.mark.parametrize("correlated", [False, True])
def test_a_slider_moves_its_factor_and_no_other(correlated):
    """Also where jaw and smile go together in what was seen."""
    world = LinearWorld(correlated)
    controls, h = world.controls(), world.motions(10, seed=5)
    before = world.factors(h)
    after = world.factors(controls.set(h, {"jaw": 0.5}))
    assert torch.allclose(after[:, 2], torch.tensor(0.5), atol=0.01)
    others = [0, 1, 3, 4]
    assert spreads(after - before)[:, others].abs().max() < 0.02


def test_what_no_factor_names_stays_where_it_is():
    """Of all moves the likeliest is taken: hidden things that go with no factor do not move."""
    world = LinearWorld()
    controls, h = world.controls(), world.motions(10, seed=5)
    after = controls.set(h, {"yaw": 30.0, "smile": 0.2})
    assert (world.hidden(after) - world.hidden(h))[:, 5:].abs().max() < 0.15


def test_factors_are_read_through_the_reader_s_errors():
    world = LinearWorld()
    controls, h = world.controls(noise=0.5), world.motions(200, seed=5)
    error = spreads(controls.read(h) - world.factors(h))
    assert error.abs().mean() < 0.05


def test_factors_that_motions_do_not_tell_are_left_out():
    world = LinearWorld()
    h, rng = world.motions(4000), torch.Generator().manual_seed(11)
    noise = torch.randn(4000, 1, generator=rng)
    readings = torch.cat([world.factors(h), noise], dim=1)
    controls = learn_controls(h, readings[:, [0, 5, 1, 2]], ("yaw_deg", "gaze_x", "pitch", "jaw"))
    assert controls.names == ("yaw_deg", "pitch", "jaw")
    error = (controls.read(h) - world.factors(h)[:, :3]) / SCALE[:3]
    assert error.abs().mean() < 0.05
    with pytest.raises(BadValue, match="motions tell none of the factors"):
        learn_controls(h, noise, ("gaze_x",))


def test_short_names_set_what_they_stand_for_and_limits_hold():
    world = LinearWorld()
    controls, h = world.controls(), world.motions(2)
    assert torch.equal(controls.set(h, {"yaw": 5}), controls.set(h, {"yaw_deg": 5.0}))
    far = controls.read(controls.set(h, {"yaw": 900.0}))[:, 0]
    assert torch.allclose(far, controls.highest[0].expand(2), atol=0.01)
    with pytest.raises(BadValue, match="no control 'ears'; there are yaw_deg"):
        controls.set(h, {"ears": 1.0})


def lengths(controls, before, after):
    """Mean square of the change that factors tell, in standard deviations of motions seen."""
    change = (controls.read(after) - controls.read(before)).double()
    return (change @ torch.linalg.inv(controls.seen.double()) * change).sum(1)


def test_what_motions_cannot_do_gives_way_and_the_least_told_first():
    """Jaw and smile go together; a reader that hardly sees smiles leaves them in doubt."""
    world = LinearWorld(correlated=True)
    controls, h = world.controls(), world.motions(1, seed=5)
    controls.doubt[3] = 20 * controls.spread[3] ** 2
    now = dict(zip(NAMES, controls.read(h)[0].tolist(), strict=True))
    by = {"yaw_deg": 30.0, "jaw": 0.7, "smile": -1.1}
    wanted = {name: now[name] + change for name, change in by.items()}
    controls.lowest.fill_(-FAR), controls.highest.fill_(FAR)
    after = controls.set(h, wanted)
    limit = FARTHEST * len(NAMES)
    assert lengths(controls, h, after).item() == pytest.approx(limit, rel=1e-3)
    found = (controls.read(after) - controls.read(h))[0] / SCALE
    asked = torch.tensor([by.get(name, 0.0) for name in NAMES]) / SCALE
    missed = (found - asked).abs()
    assert missed[3] > 5 * missed[[0, 1, 2, 4]].max()


def test_what_motions_can_do_is_done_to_the_letter_and_without_a_jump():
    """On the way to the limit and across it."""
    world = LinearWorld()
    controls, h = world.controls(), world.motions(1, seed=5)
    controls.lowest.fill_(-FAR), controls.highest.fill_(FAR)
    yaw, limit = controls.read(h)[0, 0], (FARTHEST * len(NAMES)) ** 0.5
    spread = controls.seen[0, 0].sqrt()
    by = torch.linspace(0, 2 * limit, 41)[:, None] * spread
    after = controls.read(controls.set(h.expand(41, -1), {"yaw": yaw + by[:, 0]}))[:, :1] - yaw
    inside = by[:, 0] < controls.farthest()[0]
    torch.testing.assert_close(after[inside], by[inside], rtol=1e-3, atol=1e-3)
    assert (after[~inside] < by[~inside]).all() and (after.diff(dim=0) > -1e-3).all()
    assert after.diff(dim=0).max() < 1.01 * by.diff(dim=0).max()
    assert (lengths(controls, h, h) == 0).all()


def test_factors_that_follow_from_one_another_do_no_harm():
    """Few pictures, few numbers: S has no inverse, and what is asked still gives way."""
    controls, h = LinearWorld().controls(), LinearWorld().motions(2)
    loads = torch.tensor([[1.0, 0.3], [0.2, 1.0], [0.5, 0.5], [1.0, -1.0], [0.0, 0.7]])
    controls.seen.copy_(loads @ loads.T)
    assert controls.set(h, {"yaw": 5.0, "jaw": 0.1, "smile": -0.3}).isfinite().all()
    assert controls.farthest().isfinite().all()


class WithoutDoubles(TorchDispatchMode):
    """A device that has no double precision, as Apple's."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        for tensor in tree_flatten(made)[0]:
            if isinstance(tensor, torch.Tensor) and tensor.device.type == NAME:
                assert tensor.dtype != torch.double, function
        return made


def test_what_motions_cannot_do_gives_way_on_devices_without_double_precision(monkeypatch):
    controls, asked = (
        LinearWorld().controls(),
        torch.eye(5) * SCALE * torch.tensor([1, 2, 4, 8, 16]),
    )
    here, farthest = controls.yielding(asked), controls.farthest()
    assert torch.equal(here[0], asked[0]) and not torch.equal(here[4], asked[4])
    with elsewhere(monkeypatch), WithoutDoubles():
        there, far = controls.to(NAME).yielding(asked.to(NAME)), controls.farthest()
        assert there.device.type == far.device.type == NAME
        assert torch.equal(there.to("cpu"), here) and torch.equal(far.to("cpu"), farthest)


def test_controls_of_older_files_know_no_such_limit():
    controls = LinearWorld().controls()
    config, state = controls.pack()
    older = {name: value for name, value in state.items() if name not in ("seen", "doubt")}
    again = Controls.from_network(Network("controls", "xfer", older, config))
    assert torch.equal(again.moves, controls.moves)
    change = 1000 * torch.eye(5)
    assert torch.equal(again.yielding(change), change)
    assert (again.farthest() > 1e10).all()


def test_the_response_of_a_perfect_world_is_the_identity_matrix():
    world = LinearWorld()
    controls, own = world.controls(), world.motions(6, seed=2)
    found = _response(world, controls, own)
    torch.testing.assert_close(found, torch.eye(5), atol=0.02, rtol=0.0)


def _response(world, controls, own, leak=None):
    """Pictures here are their own motions, folded into three channels of nine numbers."""
    pad = lambda h: torch.nn.functional.pad(h, (0, 19)).view(-1, 3, 3, 3)
    leak = torch.eye(5) if leak is None else leak
    read = lambda image: spreads(world.factors(image.flatten(1)[:, :8])) @ leak * SCALE
    return measure_response(controls, own, pad, read)


def test_calibration_undoes_measured_cross_talk():
    """Pictures in which a raised jaw slider also turns the head, and smiles come out weakly."""
    world = LinearWorld()
    controls, own = world.controls(), world.motions(6, seed=2)
    leak = torch.eye(5)
    leak[2, 0], leak[3, 3] = 0.3, 0.6
    before = _response(world, controls, own, leak)
    torch.testing.assert_close(before, leak, atol=0.03, rtol=0.0)
    better = calibrate(controls, before)
    torch.testing.assert_close(
        _response(world, better, own, leak), torch.eye(5), atol=0.02, rtol=0.0
    )
    torch.testing.assert_close(better.reads @ better.moves, torch.eye(5), atol=1e-3, rtol=0.0)


def test_what_the_pictures_cannot_show_is_left_alone():
    controls = LinearWorld().controls()
    response = torch.eye(5)
    response[4, 4], response[4, 0] = 0.02, 0.1
    assert torch.equal(calibrate(controls, response).moves, controls.moves)


def test_they_travel_in_a_file_with_other_networks(tmp_path):
    controls = LinearWorld().controls()
    assert controls.cross_talk_table() == {}
    controls.cross_talk[0, 1] = 0.25
    path = write_checkpoint(
        tmp_path / "all.safetensors", {"controls": controls.pack(), "other": ({}, {})}
    )
    again = Controls.load(path)
    assert again.names == NAMES and torch.equal(again.moves, controls.moves)
    assert again.cross_talk_table()["yaw_deg"]["pitch_deg"] == 0.25
    assert "controls" in read_checkpoint(path).networks


def test_learning_says_what_it_lacks():
    h = torch.randn(50, 8)
    with pytest.raises(BadValue, match="never changes cannot be learned: jaw"):
        learn_controls(h, torch.stack([h[:, 0], torch.ones(50)], 1), ["smile", "jaw"])
    with pytest.raises(BadValue, match="more pictures than factors"):
        learn_controls(h[:2], torch.randn(2, 2), ["smile", "jaw"])


def test_landmarks_tell_what_moves_them_and_nothing_else():
    torch.manual_seed(0)
    factors = torch.randn(500, 3)
    landmarks = torch.zeros(500, 68, 2)
    landmarks[:, 10, 0], landmarks[:, 60, 1] = 0.2 * factors[:, 0], 0.1 * factors[:, 1]
    reader = LandmarkReader.learn(landmarks, factors, ["yaw_deg", "jaw", "gaze_x"], noise=1e-3)
    assert reader.names == ("yaw_deg", "jaw")
    torch.testing.assert_close(reader(landmarks), factors[:, :2], atol=0.01, rtol=0.0)
