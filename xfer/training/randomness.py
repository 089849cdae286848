"""Random numbers as a pure function of seed, purpose, step and sample.

No generator has a state that would have to be saved: step 1000 draws the same numbers whether the
run got there at once or after ten crashes, and sample 7 draws the same noise whichever process
holds it.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def rng(seed: int, stream: str, step: int, sample: int = 0) -> torch.Generator:
    """A CPU generator for one purpose (`stream`) at one step, of one sample of the global batch."""
    key = f"{seed}/{stream}/{step}/{sample}".encode()
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
    return torch.Generator().manual_seed(number % 2**63)


def sample_rngs(seed: int, stream: str, step: int, samples: Sequence[int]) -> list[torch.Generator]:
    """One generator for each of these samples of the global batch."""
    return [rng(seed, stream, step, sample) for sample in samples]


def normal(rngs: Sequence[torch.Generator], *shape: int) -> Tensor:
    """Standard normal numbers of shape `(len(rngs), *shape)`, each row from its own generator."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in rngs])


def uniform(rngs: Sequence[torch.Generator]) -> Tensor:
    """One number in [0, 1) from each generator."""
    return torch.cat([torch.rand(1, generator=generator) for generator in rngs])


def permutation(seed: int, epoch: int, length: int) -> Tensor:
    """The order of a data set's items in one epoch."""
    return torch.randperm(length, generator=rng(seed, "order", epoch))
