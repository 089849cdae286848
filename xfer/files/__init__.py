"""The former place of `xfer.checkpoints`; goes as soon as nothing imports it."""

from xfer.checkpoints import *  # noqa: F403
