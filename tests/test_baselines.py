"""The other ways to answer: on networks where every answer can be computed by hand."""

import pytest
import torch

from xfer.baselines import (
    Driver,
    Inverted,
    LatentDifference,
    Method,
    Transferred,
    baselines,
    copy_driver,
    copy_identity,
    show_truth,
)
from xfer.errors import BadValue
from xfer.reenact.studio import untrained_model


def faces(seed, n=2, size=32):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Lossless:
    """Latents are the pixels themselves, so that inversion is exact."""

    generator: "Lossless"

    def __init__(self):
        self.generator = self

    def identify(self, image, rounds=None):
        return image.flatten(2)

    def synthesis(self, w_plus):
        return w_plus.unflatten(2, (32, 32))

    def transfer(self, driver, identity):
        return self.synthesis(identity) + driver


DRIVER, IDENTITY = Driver(faces(0), faces(1), faces(2)), faces(3)


def test_copies_are_what_they_copy():
    assert torch.equal(copy_identity(DRIVER, IDENTITY), IDENTITY)
    assert torch.equal(copy_driver(DRIVER, IDENTITY), DRIVER.picture)
    assert torch.equal(show_truth(DRIVER, IDENTITY), DRIVER.truth)


def test_with_an_exact_inverter_inversions_are_copies_and_the_ceiling_is_the_truth():
    found = {name: method(DRIVER, IDENTITY) for name, method in baselines(Lossless()).items()}
    assert torch.equal(found["ceiling"], DRIVER.truth)
    assert torch.equal(found["copy identity, inverted"], found["copy identity"])
    assert torch.equal(found["copy driver, inverted"], found["copy driver"])
    change = DRIVER.picture - DRIVER.reference
    torch.testing.assert_close(found["latent difference"], IDENTITY + change)


def test_strength_scales_the_latent_difference():
    still = LatentDifference(Lossless(), strength=0.0)
    assert torch.equal(still(DRIVER, IDENTITY), IDENTITY)


def test_a_driver_who_does_not_move_leaves_the_identity_s_inversion():
    model = untrained_model()
    still = Driver(faces(0), faces(0))
    edited = LatentDifference(model)(still, IDENTITY)
    torch.testing.assert_close(edited, Inverted(model, copy_identity)(still, IDENTITY))


def test_a_model_s_answer_is_its_transfer_from_photo_to_photo():
    model = untrained_model()
    plain = Transferred(model)(DRIVER, IDENTITY)
    torch.testing.assert_close(plain, model.transfer(DRIVER.picture, IDENTITY))
    torch.testing.assert_close(Transferred(model.prepare())(DRIVER, IDENTITY), plain)


def test_every_method_has_one_signature_and_the_size_it_was_given():
    driver, identity = (
        Driver(faces(0, size=48), faces(1, size=48), faces(2, size=48)),
        faces(3, size=48),
    )
    model = untrained_model()
    for method in [*baselines(model).values(), Transferred(model)]:
        assert isinstance(method, Method)
        assert method(driver, identity).shape == identity.shape


def test_bounds_say_that_they_need_the_truth():
    with pytest.raises(BadValue, match="the truth of these drivers is not known"):
        baselines(Lossless())["ceiling"](Driver(faces(0), faces(1)), IDENTITY)
