"""Whole steps of a generator's training against its equations, stated once more in plain code.

The networks are the trainer's own and so are the streams of random numbers. Everything around them
is written out here: the game (Goodfellow et al., 2014), R1 (Mescheder et al., 2018), style mixing
and the average (Karras et al., 2018 and 2019), path lengths and lazy penalties (Karras et al.,
2020), Adam (Kingma and Ba, 2015). In double precision: Adam moves a weight whose gradient is
nothing but rounding by a whole step, either way.
"""

import contextlib
import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from two_processes import Double

from xfer.training.checkpoint import Checkpoints
from xfer.training.config import GENERATOR_PRESETS, preset
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.randomness import rng
from xfer.training.train_generator import GeneratorTrainer, train_generator

BATCH, EDGE, STEPS = 8, 8, 4
SIZES = {
    f"{part}.{name}": value
    for part in ("generator", "discriminator")
    for name, value in (("resolution", EDGE), ("channel_base", 64), ("channel_max", 8))
}
SETTINGS = {
    "generator.z_dim": 8, "generator.w_dim": 8, "seed": 5, "batch": BATCH, "half": "none",
    "learning_rate": 3e-3, "beta1": 0.3, "r1_gamma": 4.0, "r1_interval": 2, "path_weight": 3.0,
    "path_interval": 3, "path_decay": 0.2, "style_mixing": 0.7, "flip": True,
    "ema_kimg": 0.04, "ema_rampup": 2.0,  # half-lives of 16, 32, 40 and 40 pictures
}  # fmt: skip
TOLERANCE = 1e-6
"""Between weights; rounding, which Adam enlarges, makes a hundredth of it."""
PARTS = ("generator", "discriminator", "ema")


def config(steps=STEPS, **changes):
    kimg = steps * BATCH / 1000
    chosen = {"total_kimg": kimg, "tick_kimg": kimg, "save_kimg": kimg}
    return preset(GENERATOR_PRESETS, "nano", **SIZES | SETTINGS | chosen | changes)


def frames():
    pictures = np.random.default_rng(0).integers(0, 255, (20, EDGE, EDGE, 3), dtype=np.uint8)
    return FrameArray(pictures)


@contextlib.contextmanager
def double_precision():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
@double_precision()
def trained(tmp_path_factory):
    """The state after all steps of the real loop."""
    folder = tmp_path_factory.mktemp("run")
    list(train_generator(config(), Double(frames()), folder))
    return Checkpoints(folder).load_latest()[1]


# The same once more ------------------------------------------------------------------------------


class PlainAdam:
    """Adam over a list of parameters; a lazy penalty every k steps makes k + 1 updates of k."""

    def __init__(self, rate, beta1, interval):
        share = interval / (interval + 1)
        self.rate, self.beta1, self.beta2 = rate * share, beta1**share, 0.99**share
        self.moments = {}

    def update(self, network, loss):
        """Weights that a loss does not depend on stay as they are, and so do their moments."""
        weights = list(network.parameters())
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for place, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            if gradient is None:
                continue
            first, second, count = self.moments.get(place, (0.0, 0.0, 0))
            first = self.beta1 * first + (1 - self.beta1) * gradient
            second = self.beta2 * second + (1 - self.beta2) * gradient**2
            self.moments[place] = first, second, count + 1
            unbiased = first / (1 - self.beta1 ** (count + 1))
            spread = (second / (1 - self.beta2 ** (count + 1))) ** 0.5
            weight.data -= self.rate * unbiased / (spread + 1e-8)


def drawn(g, chosen, phase, step, count=BATCH):
    """W+ and pictures of random people, some of whom take their later styles from another one."""
    people, noises = [], []
    for sample in range(count):
        numbers = rng(chosen.seed, phase, step, sample)
        z = [torch.randn(g.z_dim, generator=numbers) for _ in range(2)]
        mixed, where = (float(torch.rand(1, generator=numbers)) for _ in range(2))
        first, second = g.mapping(torch.stack(z))
        from_here = 1 + math.floor(where * (g.n_styles - 1))
        if mixed >= chosen.style_mixing:
            from_here = g.n_styles
        people.append([first if row < from_here else second for row in range(g.n_styles)])
        sizes = [layer.resolution for layer in g.layers]
        noises.append([torch.randn(1, size, size, generator=numbers) for size in sizes])
    w_plus = torch.stack([torch.stack(rows) for rows in people])
    return w_plus, g.synthesis(w_plus, [torch.stack(layer) for layer in zip(*noises, strict=True)])


def real_pictures(chosen, step):
    pictures = []
    for sample in range(BATCH):
        picture = Double(frames()).at([step * BATCH + sample])[0]
        mirror = float(torch.rand(1, generator=rng(chosen.seed, "flip", step, sample))) < 0.5
        pictures.append(picture.flip(2) if chosen.flip and mirror else picture)
    return torch.stack(pictures)


@double_precision()
def restated(chosen):
    """Both networks, the average and the mean path length after all steps."""
    trainer = GeneratorTrainer(chosen, World())
    g, d = (copy.deepcopy(network) for network in (trainer.generator, trainer.discriminator))
    average, path_mean = copy.deepcopy(g), torch.zeros(())
    of_g = PlainAdam(chosen.learning_rate, chosen.beta1, chosen.path_interval)
    of_d = PlainAdam(chosen.learning_rate, chosen.beta1, chosen.r1_interval)
    for step in range(STEPS):
        real = real_pictures(chosen, step)
        with torch.no_grad():
            _, fake = drawn(g, chosen, "critic", step)
        is_real, is_fake = torch.sigmoid(d(real)), torch.sigmoid(d(fake))
        of_d.update(d, -torch.log(is_real).mean() - torch.log(1 - is_fake).mean())

        if step % chosen.r1_interval == 0:
            x = real.clone().requires_grad_()
            (slope,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
            r1 = (slope**2).sum() / BATCH
            of_d.update(d, chosen.r1_interval * chosen.r1_gamma / 2 * r1)

        w_plus, fake = drawn(g, chosen, "generator", step)
        g.w_mean.copy_(0.995 * g.w_mean + 0.005 * w_plus[:, 0].detach().mean(0))
        of_g.update(g, -torch.log(torch.sigmoid(d(fake))).mean())

        if step % chosen.path_interval == 0:
            half = range(BATCH // 2)
            w_plus, fake = drawn(g, chosen, "path", step, len(half))
            numbers = [rng(chosen.seed, "path-noise", step, sample) for sample in half]
            y = torch.stack([torch.randn(3, EDGE, EDGE, generator=n) for n in numbers])
            moved = (fake * y).sum() / EDGE  # the root of the number of pixels
            (slope,) = torch.autograd.grad(moved, w_plus, create_graph=True)
            lengths = ((slope**2).sum(2).sum(1) / g.n_styles) ** 0.5
            path_mean = path_mean + chosen.path_decay * (lengths.detach().mean() - path_mean)
            penalty = ((lengths - path_mean) ** 2).mean()
            of_g.update(g, chosen.path_interval * chosen.path_weight * penalty)

        seen = (step + 1) * BATCH
        half_life = min(1000 * chosen.ema_kimg, chosen.ema_rampup * seen)
        kept = 2 ** (-BATCH / half_life)
        for old, new in zip(average.parameters(), g.parameters(), strict=True):
            old.data = kept * old.data + (1 - kept) * new.data
        average.w_mean.copy_(g.w_mean)
    networks = {"generator": g, "discriminator": d, "ema": average}
    states = {part: network.state_dict() for part, network in networks.items()}
    return states | {"scalars": {"path_mean": path_mean}}


def distance(ours, theirs, part):
    """The greatest between any two weights."""
    assert ours[part].keys() == theirs[part].keys()
    return max(
        (ours[part][name] - value).abs().max().item() for name, value in theirs[part].items()
    )


@double_precision()
def test_whole_steps_equal_a_restatement_in_every_weight(trained):
    expected = restated(config())
    found = {part: distance(trained, expected, part) for part in (*PARTS, "scalars")}
    assert max(found.values()) < TOLERANCE, found
    beginning = {"generator": GeneratorTrainer(config(), World()).generator.state_dict()}
    assert distance(trained, beginning, "generator") > 1e-3


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("generator", {"path_weight": 3.1}),
        ("generator", {"path_decay": 0.21}),
        ("generator", {"path_interval": 2}),
        ("generator", {"style_mixing": 0.5}),
        ("generator", {"learning_rate": 3.1e-3}),
        ("generator", {"beta1": 0.31}),
        ("discriminator", {"beta1": 0.31}),
        ("discriminator", {"r1_gamma": 4.1}),
        ("discriminator", {"r1_interval": 3}),
        ("discriminator", {"flip": False}),
        ("ema", {"ema_kimg": 0.041}),
        ("ema", {"ema_rampup": 2.1}),
    ],
    ids=lambda value: "".join(value),
)
def test_a_restatement_with_another_setting_ends_elsewhere(trained, part, wrong):
    """So the test above sees each of them."""
    assert distance(trained, restated(config(**wrong)), part) > 10 * TOLERANCE


# What happens to pictures and averages -----------------------------------------------------------


def styles(share, step=0, count=400):
    """W+ of a phase, and how many of the first styles are each sample's own w."""
    trainer = GeneratorTrainer(config(style_mixing=share), World())
    with torch.no_grad():
        w_plus, _ = trainer.latents(step, "generator", list(range(count)))
        z = [
            [torch.randn(8, generator=numbers) for _ in range(2)]
            for numbers in (rng(5, "generator", step, sample) for sample in range(count))
        ]
        first, second = (trainer.generator.mapping(torch.stack(w)) for w in zip(*z, strict=True))
    is_first = torch.isclose(w_plus, first[:, None], atol=1e-5).all(2)
    is_second = torch.isclose(w_plus, second[:, None], atol=1e-5).all(2)
    assert (is_first ^ is_second).all(), "every style is one of the sample's two w"
    assert (is_first[:, :-1] >= is_first[:, 1:]).all(), "the first w comes first"
    return is_first.sum(1)


def test_a_share_of_samples_takes_its_later_styles_from_a_second_w():
    n_styles = config().generator.n_styles
    assert styles(0.0).eq(n_styles).all()
    cuts = styles(1.0).bincount(minlength=n_styles + 1)
    assert cuts[0] == 0 and cuts[n_styles] == 0, "a mixed sample has something of both"
    assert (cuts[1:n_styles] > 400 / (n_styles - 1) * 0.75).all(), "cut anywhere alike"
    mixed = (styles(0.9) < n_styles).float().mean().item()
    assert mixed == pytest.approx(0.9, abs=0.05)


def test_half_of_the_real_pictures_are_mirrored_left_to_right():
    chosen = config(flip=True, batch=64)
    plain = GeneratorTrainer(dataclasses.replace(chosen, flip=False), World())
    mirroring = GeneratorTrainer(chosen, World())
    flipped = []
    for step in range(4):
        before, after = (trainer.real(step, frames()) for trainer in (plain, mirroring))
        assert torch.equal(before, frames().at(list(range(64 * step, 64 * (step + 1)))))
        for picture, shown in zip(before, after, strict=True):
            flipped.append(not torch.equal(picture, shown))
            assert torch.equal(shown, picture.flip(-1) if flipped[-1] else picture)
    assert np.mean(flipped) == pytest.approx(0.5, abs=0.1)
    assert flipped[:64] != flipped[64:128]


@pytest.mark.parametrize(
    ("rampup", "way_left"),
    [
        (1.0, [0.5, 0.5**1.5, 0.5**2, 0.5**2.5]),  # half-lives of 8, then 16 pictures
        (0.5, [0.25, 0.125, 0.125 * 0.5 ** (2 / 3), 0.125 * 0.5 ** (2 / 3 + 0.5)]),
        (0.0, [0.5**0.5, 0.5, 0.5**1.5, 0.25]),
    ],
)
def test_the_average_s_half_life_grows_with_the_pictures_seen_up_to_its_own(rampup, way_left):
    trainer = GeneratorTrainer(config(ema_kimg=0.016, ema_rampup=rampup), World())
    ours, theirs = (g.get_parameter("const") for g in (trainer.ema, trainer.generator))
    goal = theirs.detach().clone()
    with torch.no_grad():
        ours.copy_(goal + 1)
    for step, left in enumerate(way_left):
        trainer.average(step)
        torch.testing.assert_close(ours, goal + left)


def test_a_step_in_bfloat16_is_finite_and_near_that_in_single_precision(tmp_path):
    def step(half):
        (record,) = train_generator(config(1, half=half), frames(), tmp_path / half)
        return record, Checkpoints(tmp_path / half).load_latest()[1]

    (single, exact), (half, rough) = step("none"), step("bfloat16")
    begun = GeneratorTrainer(config(), World()).state()
    for name in ("d_loss", "g_loss", "r1", "path_length", "real_logits", "fake_logits"):
        assert half[name] == pytest.approx(single[name], rel=0.05, abs=0.01)
    assert half["bad_steps"] == 0
    for part in PARTS:
        change = lambda state, part=part: torch.cat(
            [(state[part][name] - old).flatten() for name, old in begun[part].state_dict().items()]
        )
        ours, theirs = change(rough), change(exact)
        assert ours.isfinite().all() and not torch.equal(ours, theirs)
        assert torch.cosine_similarity(ours, theirs, dim=0) > 0.9
