"""Every training loop with tiny networks, its pictures spoiled at some steps."""

import itertools
from functools import partial

import test_anchored_in_w_plus as anchored
import test_train_autoencoder as warm_start
import test_train_generator as plain
import test_train_instruments as instruments
import test_train_inverter as inverter
import test_train_transfer as transfer
import torch

from xfer.training.frames import FrameArray
from xfer.training.redrawing import Refinding
from xfer.training.train_autoencoder import train_autoencoder
from xfer.training.train_generator import train_generator
from xfer.training.train_instruments import train_instrument
from xfer.training.train_inverter import train_inverter
from xfer.training.train_transfer import train_transfer

ALONE = {"critic_first_kimg": 1.0}
"""The critic learns alone all the while; at steps without a turn of the game nothing does."""


def spoiled(source, method, steps):
    """The source, whose method gives no numbers at these steps; it is called once a step."""
    whole, calls = getattr(source, method), itertools.count()

    def give(*asked):
        given = whole(*asked)
        return _no_numbers(given) if next(calls) in steps else given

    setattr(source, method, give)
    return source


def _no_numbers(given):
    if isinstance(given, torch.Tensor):
        return given * float("nan")
    return given._replace(driver=given.driver * float("nan"))


def _inverter(folder, steps, bad):
    generator, measure = inverter.networks()
    frames = spoiled(inverter.Drawn(generator), "at", bad)
    return train_inverter(inverter.tiny(steps), frames, generator, measure, folder)


def _instrument(kind, folder, steps, bad):
    frames = spoiled(instruments.coloured(folder / "frames"), "pictures", bad)
    return train_instrument(instruments.tiny(kind, steps), frames, folder)


def _warm_start(folder, steps, bad):
    frames = spoiled(FrameArray(anchored.coarse_pictures()), "at", bad)
    return train_autoencoder(warm_start.tiny(steps), frames, anchored.tiny_instruments(), folder)


def _transfer(folder, steps, bad):
    clips = spoiled(transfer.clips(), "draw", bad)
    return train_transfer(transfer.tiny(steps), clips, *transfer.networks(), folder)


def _plain(folder, steps, bad):
    return train_generator(plain.tiny(steps), spoiled(plain.pictures(), "at", bad), folder)


def _anchored(changes, folder, steps, bad):
    frames = spoiled(FrameArray(anchored.coarse_pictures()), "at", bad)
    anchor = Refinding(anchored.tiny_encoder(), anchored.tiny_instruments().look())
    chosen = anchored.game(steps, critic_width=8, **changes)
    return train_generator(chosen, frames, folder, redrawing=anchor)


LOOPS = {
    "inverter": _inverter,
    "reader": partial(_instrument, "reader"),
    "recogniser": partial(_instrument, "recogniser"),
    "warm start": _warm_start,
    "transfer": _transfer,
    "generator": _plain,
    "anchored generator": partial(_anchored, {}),
    "critic alone": partial(_anchored, ALONE),
}
"""By name: functions of a folder, a number of steps and those that are bad; each gives a run."""
