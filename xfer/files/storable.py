"""What every network shares: opening it from a file of any layout, and writing it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from xfer.errors import BadFile
from xfer.files.checkpoint import Network, compare, fill
from xfer.files.container import write_checkpoint
from xfer.files.reading import load_network


class Storable:
    """A module with a `config` (a frozen dataclass) that can be written and read back.

    A subclass names its role in a file and unpacks the layouts that it knows.
    """

    role: ClassVar[str]
    vetted: ClassVar[bool] = False
    """Does `unpack` itself compare the file's configuration with its tensors?"""

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """Open a file of any known layout, in eval mode on the CPU.

        Args:
            path: A file, or the name of a shipped or fetched one ("small").

        Raises:
            MissingFile, BadFile: No such file; damaged, or without this network.
        """
        return load_network(path, cls.role, cls.from_network)

    @classmethod
    def from_network(cls, network: Network) -> Any:
        """Build from a network's tensors and what the file says of it."""
        config, state = cls.unpack(network)
        if network.layout == "xfer" and not cls.vetted:
            with torch.device("meta"):  # compare before memory is spent on what a header claims
                plan = cls.build(config)
            compare(plan, _with_counters(plan.state_dict(), state))
        module = cls.build(config)
        fill(module, _with_counters(module.state_dict(), state))
        return module.eval()

    @classmethod
    def build(cls, config: Any) -> Any:
        """The network of a configuration; a role of several kinds chooses among them here."""
        return cls(config)

    @classmethod
    def unpack(cls, network: Network) -> tuple[Any, Mapping[str, Tensor]]:
        """Configuration and tensors under our names, from any layout."""
        raise NotImplementedError

    def save(
        self,
        path: str | Path,
        facts: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Path:
        """Write configuration and weights as safetensors.

        Args:
            facts: What else the file shall tell, JSON-able.
            dtype: Store the parameters so; float16 halves the file.
        """
        return write_checkpoint(path, {self.role: self.pack(dtype)}, facts)

    def pack(self, dtype: torch.dtype | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and state dict, as `write_checkpoint` takes them.

        Only what was learned takes `dtype`: norms' statistics may be too large for it.
        """
        learned = {name for name, _ in self.named_parameters()}
        state = {
            name: tensor.to(dtype) if dtype and name in learned else tensor
            for name, tensor in self.state_dict().items()
        }
        return dataclasses.asdict(self.config), state


MOST = {"blocks": 200, "n_styles": 64}
"""Layers that a header may ask for; public networks have 24 and 18."""


def stored_config(kind: type, network: Network) -> Any:
    """The configuration of a network in our own layout; JSON's lists become tuples again."""
    for name, most in MOST.items():
        value = network.config.get(name, 0)
        if not 0 <= (sum(value) if isinstance(value, list) else value) <= most:
            raise BadFile(f"the header asks for {value} {name}; {most} are the most")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in network.config.items()}
    return kind(**values)


def _with_counters(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with batch counters of norms, which early files lack and inference ignores."""
    counters = {n: t for n, t in wanted.items() if n.endswith("num_batches_tracked")}
    return counters | dict(state)
