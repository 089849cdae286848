"""Public checkpoints give the numbers that the public implementations give."""

import pytest
import torch
import torch.nn.functional as F
from by_rule import (
    KEYS,
    assert_agree,
    figures,
    given,
    rosinality_discriminator,
    rosinality_generator,
    state,
)

from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator


def test_the_rule_for_names_and_shapes_gives_those_of_public_files():
    shapes = rosinality_generator(1024)
    assert shapes == KEYS["rosinality_generator_1024"]
    assert rosinality_discriminator(1024) == KEYS["rosinality_discriminator_1024"]


@pytest.mark.parametrize(("size", "multiplier"), [(32, 2), (256, 1), (1024, 2)])
@torch.no_grad()
def test_a_rosinality_generator_draws_what_the_public_code_draws(size, multiplier, tmp_path):
    wanted = figures(f"generator_{size}")
    file = {
        "g_ema": state(rosinality_generator(size, multiplier)),
        "latent_avg": wanted["w"].mean(0),
    }
    torch.save(file, tmp_path / "g.pt")
    generator = Generator.load(tmp_path / "g.pt")
    assert generator.resolution == size and generator.z_dim == 512
    pool = lambda image: F.adaptive_avg_pool2d(image, 32)

    w = generator.mapping(given(1, (2, 512)))
    assert_agree(w, wanted["w"])
    image = generator.synthesis(w)
    assert_agree(pool(image), wanted["image"])
    assert_agree(image[:, :, :8, :8], wanted["corner"])
    if size == 1024:  # the rest is the same code, and slow at this size
        return
    truncated = generator.truncate(generator.to_w_plus(w), 0.7)
    assert_agree(pool(generator.synthesis(truncated)), wanted["image_truncated"])
    w_plus = given(2, (1, generator.n_styles, 512))
    assert_agree(pool(generator.synthesis(w_plus)), wanted["image_wplus"])
    first, second = generator.to_w_plus(w).split(1)
    mixed = generator.synthesis(generator.mix(first, second, at=3))
    assert_agree(pool(mixed), wanted["image_mixed_at_3"])


@pytest.mark.parametrize(("size", "multiplier"), [(32, 2), (256, 1)])
@torch.no_grad()
def test_a_rosinality_discriminator_scores_as_the_public_code_scores(size, multiplier, tmp_path):
    torch.save({"d": state(rosinality_discriminator(size, multiplier))}, tmp_path / "d.pt")
    discriminator = Discriminator.load(tmp_path / "d.pt")
    score = discriminator(0.5 * given(3, (4, 3, size, size)))
    assert_agree(score, figures(f"discriminator_{size}")["score"])


@pytest.mark.parametrize("size", [32, 256])
@torch.no_grad()
def test_an_nvlabs_generator_draws_what_the_public_code_draws(size, tmp_path):
    wanted = figures(f"nvlabs_generator_{size}")
    torch.save(state(KEYS[f"nvlabs_generator_{size}"]), tmp_path / "g.pt")
    generator = Generator.load(tmp_path / "g.pt")
    w = generator.mapping(given(21, (2, 512)))
    assert_agree(w, wanted["w"])
    image = generator.synthesis(w)
    assert_agree(F.adaptive_avg_pool2d(image, 32), wanted["image"])
    assert_agree(image[:, :, :8, :8], wanted["corner"])
    truncated = generator.synthesis(generator.truncate(generator.to_w_plus(w), 0.7))
    assert_agree(F.adaptive_avg_pool2d(truncated, 32), wanted["image_truncated"])
