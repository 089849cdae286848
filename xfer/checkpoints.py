"""Checkpoint files of every layout as plain tensors and facts; nothing in a file is executed."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xfer.assets import locate
from xfer.errors import BadFile, BadValue, XferError
from xfer.pickles import Object, read_pickled
from xfer.runs import atomic

FORMAT = 2
"""Version of our own files: safetensors whose header holds configurations, facts and a sha256."""


@dataclass(frozen=True)
class Network:
    """One network of a file."""

    role: str
    """generator, generator_raw (not averaged), discriminator, motion_encoder, mapper, ..."""
    layout: str
    """Whose tensor names: xfer, rosinality, nvlabs, psp, paper, arcface."""
    tensors: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    """What the file says of the network beside its tensors."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a file holds: networks by role, and facts such as latent_avg and licence."""

    path: Path
    networks: dict[str, Network]
    facts: dict[str, Any] = field(default_factory=dict)

    def pick(self, role: str) -> Network:
        """The network of a role; a generator that was not averaged serves in want of another."""
        if role == "generator" and role not in self.networks:
            role = "generator_raw" if "generator_raw" in self.networks else role
        if role not in self.networks:
            have = ", ".join(self.networks).replace("_", " ")
            raise BadFile(f"{self.path} holds no {role.replace('_', ' ')}; it holds: {have}")
        return self.networks[role]


class Storable:
    """A module with a `config` (a frozen dataclass) that can be saved to a file and loaded."""

    role: ClassVar[str]
    """Of the network in a file."""

    @classmethod
    def load(cls, source: "str | Path | Checkpoint", role: str | None = None) -> Any:
        """Open a network in eval mode.

        Args:
            source: A file of any known layout, a name that `xfer weights` lists, or what
                `read_checkpoint` gave.
            role: Of the network in the file; by default the class's own.
        """
        checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
        network = checkpoint.pick(role or cls.role)
        with _about(checkpoint.path):
            return cls.from_network(network)

    @classmethod
    def from_network(cls, network: Network) -> Any:
        config, state = cls.unpack(network)
        _check_types(config)
        with torch.device("meta"):  # compare before memory is spent on what a header claims
            fill(cls.build(config), state)
        module = cls.build(config)
        fill(module, state)
        return module.eval()

    @classmethod
    def build(cls, config: Any) -> Any:
        """The network of a configuration; a role of several kinds chooses among them here."""
        return cls(config)

    @classmethod
    def unpack(cls, network: Network) -> tuple[Any, Mapping[str, Tensor]]:
        """Configuration and tensors under our names; a subclass adds the layouts it knows."""
        raise BadFile(f"the layout {network.layout} of a {network.role} is not known")

    def save(
        self,
        path: str | Path,
        facts: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Path:
        """Write configuration, weights and facts as safetensors; `dtype` as in `pack`."""
        return write_checkpoint(path, {self.role: self.pack(dtype)}, facts)

    def pack(self, dtype: torch.dtype | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Configuration and state dict, as `write_checkpoint` takes them.

        Args:
            dtype: Of what was learned (float16 halves the file); buffers keep theirs, because the
                statistics of norms may be too large for it.
        """
        learned = {name for name, _ in self.named_parameters()}
        state = {
            name: tensor.to(dtype) if dtype and name in learned else tensor
            for name, tensor in self.state_dict().items()
        }
        return dataclasses.asdict(self.config), state


MOST = {"blocks": 200, "n_styles": 64, "mapping_layers": 64}
"""Layers that a header may ask for; public networks have 24, 18 and 8."""


def stored_config(kind: type, network: Network) -> Any:
    """The configuration of a network in our own layout; JSON's lists become tuples again."""
    for name, most in MOST.items():
        value = network.config.get(name, 0)
        if not 0 <= (sum(value) if isinstance(value, list) else value) <= most:
            raise BadFile(f"the header asks for {value} {name}; {most} are the most")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in network.config.items()})


def _check_types(config: Any) -> None:
    """Refuse settings of another kind than their default."""
    for setting in dataclasses.fields(config):
        usual, value = setting.default, getattr(config, setting.name)
        kinds = int | float if isinstance(usual, float) else type(usual)
        kinds = int | float | None if usual is None else kinds
        if usual is not dataclasses.MISSING and not isinstance(value, kinds):
            raise BadFile(f"{setting.name} should be like {usual!r}; the header says {value!r:.40}")


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy tensors into a network, or only compare where it is on the meta device."""
    try:
        module.load_state_dict(dict(state), assign=any(p.is_meta for p in module.parameters()))
    except RuntimeError as error:
        raise BadFile(" ".join(str(error).split())[:500]) from None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of any known layout onto the CPU.

    Args:
        path: A file, or a name that `xfer weights` lists.

    Raises:
        MissingFile: There is no such file or name.
        BadFile: The file is damaged, hostile, or holds no network that we know.
    """
    path = locate(path)
    with _about(path):
        if not path.is_file():
            raise BadFile("a checkpoint is one regular file; this is none")
        with open(path, "rb") as file:
            safe = file.read(9)[8:] == b"{" or path.suffix == ".safetensors"
        networks, facts = _read_safetensors(path) if safe else recognise(read_pickled(path))
        tensors = {f"{n.role} {k}": t for n in networks.values() for k, t in n.tensors.items()}
        # Views of the same numbers, many times over, would keep every later step busy for hours.
        if sum(t.nbytes for t in tensors.values()) > 8 * path.stat().st_size + (1 << 26):
            raise BadFile("its tensors are many times larger than the file: refused")
        for name, value in (tensors | facts).items():
            if isinstance(value, Tensor) and not value.isfinite().all():
                raise BadFile(f"{name} holds NaN or infinity: damaged, or its training failed")
    return Checkpoint(path, networks, facts)


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Every failure as one `BadFile` that names the file."""
    try:
        yield
    except XferError as error:
        raise BadFile(f"{path}: {error}") from None
    except Exception as error:  # parsers of damaged bytes raise anything
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise BadFile(f"{path} is damaged or of another kind ({why}); fetch it again") from error


def write_checkpoint(
    path: str | Path,
    networks: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Tensor]]],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write networks into one safetensors file, atomically.

    Args:
        path: Ends in ".safetensors".
        networks: Configuration (JSON-able) and state dict of every network, by role.
        facts: Anything JSON-able, or tensors.
    """
    path, facts = Path(path), dict(facts or {})
    if path.suffix != ".safetensors":
        raise BadValue(f"checkpoints end in .safetensors; got {path.name}")
    states = {role: state for role, (_, state) in networks.items()}
    states["facts"] = {name: value for name, value in facts.items() if isinstance(value, Tensor)}
    header = {
        "format": FORMAT,
        "networks": {role: dict(config) for role, (config, _) in networks.items()},
        "facts": {name: value for name, value in facts.items() if not isinstance(value, Tensor)},
    }
    # Safetensors refuses tensors that share memory, as expanded buffers do.
    tensors = {
        f"{role}/{name}": tensor.detach().cpu().clone().contiguous()
        for role, state in states.items()
        for name, tensor in state.items()
    }
    header = json.loads(json.dumps(header, allow_nan=False))
    metadata = {"xfer": json.dumps({"sha256": _digest(header, tensors)} | header)}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)
        temporary.chmod(0o644)  # safetensors leaves it to the owner alone
    return path


def _digest(header: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Network], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if "xfer" not in metadata:
        return recognise(tensors)
    header = json.loads(metadata["xfer"])
    if header.get("format") != FORMAT:
        raise BadFile(f"format {header.get('format')}; this version of xfer reads {FORMAT}")
    if header.pop("sha256") != _digest(header, tensors):
        raise BadFile("damaged: its content is not what its sha256 says; fetch it again")
    parts: dict[str, dict[str, Tensor]] = {role: {} for role in (*header["networks"], "facts")}
    for name, tensor in tensors.items():
        role, _, inner = name.partition("/")
        parts[role][inner] = tensor
    facts = header["facts"] | parts.pop("facts")
    configs = header["networks"]
    return {r: Network(r, "xfer", state, configs[r]) for r, state in parts.items()}, facts


MARKS = (
    ("conv1.conv.modulation.weight", "generator", "rosinality"),
    ("final_linear.0.weight", "discriminator", "rosinality"),
    ("synthesis.b4.const", "generator", "nvlabs"),
    ("b4.out.weight", "discriminator", "nvlabs"),
    ("output_layer_2.0.weight", "motion_encoder", "paper"),
    ("linear_relu.0.weight", "mapper", "paper"),
    ("styles.0.linear.weight", "identity_encoder", "psp"),
    ("output_layer.3.weight", "face_recogniser", "arcface"),
)
"""A tensor that only this network has; its role; whose names these are."""

WRAPPERS = {"module", "_orig_mod", "state_dict"}
"""Parts of names that say how a network was trained, compiled or stored, not which it is."""

PLAIN = bool | int | float | str | None

MAX_NODES = 200_000


def recognise(tree: Any) -> tuple[dict[str, Network], dict[str, Any]]:
    """Networks and facts of a file that is not ours, by the names of its tensors.

    Args:
        tree: Nested dictionaries of tensors, and of objects with their attributes.
    """
    tensors, layers = _flatten(tree)
    facts = {"latent_avg": tensors.pop("latent_avg")} if "latent_avg" in tensors else {}
    if isinstance(tree, dict) and isinstance(tree.get("opts"), dict):
        facts["opts"] = {k: v for k, v in tree["opts"].items() if isinstance(v, PLAIN)}
    networks: dict[str, Network] = {}
    for mark, usual, layout in MARKS:
        for prefix in [n.removesuffix(mark) for n in tensors if f".{n}".endswith(f".{mark}")]:
            raw = usual == "generator" and prefix in ("g.", "G.")
            role = "generator_raw" if raw else usual
            if role in networks:
                raise BadFile(f"it holds more than one {role.replace('_', ' ')}: save one alone")
            inner, attributes = (
                {name.removeprefix(prefix): x for name, x in of.items() if name.startswith(prefix)}
                for of in (tensors, layers)
            )
            config = facts | ({"layers": attributes} if attributes else {})
            networks[role] = Network(role, layout, inner, config)
    if not networks:
        kind = "a StyleGAN3 network" if "synthesis.input." in " ".join(tensors) else "no network"
        names = ", ".join(name[:60] for name in list(tensors)[:4]) or "nothing"
        raise BadFile(f"it holds {kind}, none that xfer knows; its tensors begin with {names}")
    return networks, facts


def _flatten(tree: Any) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Tensors by dotted names, and the plain attributes of objects by prefixes ("mapping.fc0.")."""
    tensors, layers, queue = {}, {}, [((), tree)]
    for path, node in queue:
        if len(queue) > MAX_NODES:
            raise BadFile(f"more than {MAX_NODES} entries: refused")
        if isinstance(node, Tensor):
            tensors[".".join(path)] = node
        elif isinstance(node, dict):
            inner = [node]
            if isinstance(node, Object) and "_modules" in node:
                made = node.get("_init_kwargs", node.get("init_kwargs", {}))
                plain = {k: v for k, v in node.items() if isinstance(v, PLAIN)}
                layers["".join(f"{part}." for part in path)] = plain | {"init_kwargs": made}
                inner = [node.get(group) or {} for group in ("_parameters", "_buffers", "_modules")]
            for part in inner:
                for name, value in part.items():
                    parts = [p for p in str(name).split(".") if p not in WRAPPERS]
                    queue.append(((*path, *parts), value))
    return tensors, layers
