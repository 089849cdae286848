"""Switches of motion: known answers of exact arithmetic, and the whole model's paths agree."""

import pytest
import torch
from linear_world import SCALE, LinearWorld, moving_model

from xfer.controls import Switches, between, learn_controls
from xfer.errors import BadValue


def motions(count=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=rng), torch.randn(1, 5, generator=rng)


def test_strength_zero_is_the_person_s_own_motion_and_strength_one_the_driver_s():
    h, own = motions()
    assert torch.equal(Switches(strength=0).apply(h, own, h[:1]), own.expand(3, -1))
    assert torch.equal(Switches().apply(h, own, h[:1]), h)
    torch.testing.assert_close(Switches(strength=2).apply(h, own, h[:1]), own + 2 * (h - own))


def test_relative_motion_begins_with_the_person_s_own_and_adds_the_driver_s_changes():
    h, own = motions()
    moved = Switches(relative=True).apply(h, own, h[:1])
    torch.testing.assert_close(moved[:1], own)
    torch.testing.assert_close(moved.diff(dim=0), h.diff(dim=0))


@pytest.mark.parametrize("kind", ["affine", "conditioned"])
@torch.no_grad()
def test_on_a_whole_model_the_ends_are_inversion_and_plain_path(kind):
    """Strength 0 shows the identity with its own motion, 1 the plain path, prepared or not."""
    model = moving_model(kind)
    photo, drivers = torch.rand(1, 3, 16, 16) * 2 - 1, torch.rand(3, 3, 32, 32) * 2 - 1
    identity = model.identify(photo)
    plain = model(drivers, identity.expand(3, -1, -1))
    still = model(photo, identity)
    for form in (model, model.prepare()):
        person = form.person(identity)
        h, own = form.motion_encoder.bottleneck(drivers), form.motion_encoder.bottleneck(photo)
        for switches, wanted in ((Switches(), plain), (Switches(strength=0), still)):
            moved = switches.apply(h, own, h[:1])
            shown = form.generator.synthesis(form.latents(moved, person))
            assert (shown - wanted).abs().max() < 1e-4 * wanted.abs().max()


@torch.no_grad()
def test_interpolation_ends_at_its_ends_and_its_middle_is_the_mean_latent():
    """For the affine mapper latents are linear in motions and in identities."""
    model = moving_model("affine")
    drivers = torch.rand(2, 3, 32, 32)
    a, b = model.identify(torch.rand(2, 3, 16, 16)).split(1)
    h = model.motion_encoder.bottleneck(drivers)
    one, other = h.split(1)
    assert torch.equal(between(one, other, 0.0), one) and torch.equal(between(a, b, 1.0), b)
    ends = torch.cat([model.latents(x, model.person(a)) for x in (one, other)])
    middle = model.latents(between(one, other, 0.5), model.person(a))
    torch.testing.assert_close(middle, ends.mean(0, keepdim=True))
    people = torch.cat([model.latents(one, model.person(x)) for x in (a, b)])
    middle = model.latents(one, model.person(between(a, b, 0.5)))
    torch.testing.assert_close(middle, people.mean(0, keepdim=True))
    with pytest.raises(BadValue, match=r"between 0 and 1; got 1\.5"):
        between(a, b, 1.5)


def test_parts_take_over_their_own_factors_only():
    world = LinearWorld()
    controls = world.controls()
    h, own = world.motions(4), world.motions(1, seed=9)
    spreads = lambda motion: world.factors(motion) / SCALE
    driver, person = spreads(h), spreads(own)
    apply = lambda *parts: spreads(Switches(parts=parts).apply(h, own, h[:1], controls))
    close = lambda x, y: torch.testing.assert_close(x, y, atol=0.02, rtol=0.0)
    pose, expression = apply("pose"), apply("expression")
    close(pose[:, :2], driver[:, :2])
    close(pose[:, 2:], person[:, 2:].expand(4, -1))
    close(expression[:, :2], person[:, :2].expand(4, -1))
    close(expression[:, 2:], driver[:, 2:])
    mouth = apply("mouth")
    close(mouth[:, 2:4], driver[:, 2:4])
    close(mouth[:, [0, 1, 4]], person[:, [0, 1, 4]].expand(4, -1))
    close(apply("eyes")[:, 4], driver[:, 4])
    torch.testing.assert_close(
        controls.keeping(["pose"]) + controls.keeping(["expression"]), torch.eye(8)
    )


def test_parts_of_which_no_factor_is_known_are_refused():
    """The linear world's people have no brows, and nobody here knows how they turn."""
    world = LinearWorld()
    controls, h = world.controls(), world.motions(2)
    assert controls.lacking(["mouth", "eyes"]) == ["pucker", "blink_right", "gaze_x", "gaze_y"]
    with pytest.raises(BadValue, match="brows alone needs controls of brow or brow_tilt or frown"):
        Switches(parts=("mouth", "brows")).apply(h, h[:1], h[:1], controls)
    jaw = learn_controls(world.motions(4000), world.factors(world.motions(4000))[:, 2:3], ["jaw"])
    with pytest.raises(BadValue, match="expression alone needs controls of yaw_deg or pitch_deg"):
        Switches(parts=("expression",)).apply(h, h[:1], h[:1], jaw)


def test_what_cannot_be_is_refused():
    h, own = motions()
    with pytest.raises(BadValue, match=r"between 0 and 2; got 2\.5"):
        Switches(strength=2.5)
    with pytest.raises(BadValue, match="got ears"):
        Switches(parts=("ears",))
    with pytest.raises(BadValue, match="pose alone needs controls"):
        Switches(parts=("pose",)).apply(h, own, h[:1])
