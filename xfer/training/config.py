"""Configurations of every training loop, and the preset table.

`nano` is for tests and smoke on a CPU, `small` for the shipped weights, `medium` for one GPU,
`paper` for the sizes of the published model.
"""

import ast
import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any

from xfer.errors import BadValue, expect
from xfer.stylegan2.discriminator import DiscriminatorConfig
from xfer.stylegan2.generator import GeneratorConfig


@dataclass(frozen=True)
class GeneratorTraining:
    """Training of StyleGAN2 from scratch. Learning rates and weights as in the paper's config F."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    seed: int = 0
    batch: int = 16
    """Pictures a step, over all processes."""
    total_kimg: float = 25_000.0
    tick_kimg: float = 4.0
    """A record in stats.jsonl so often."""
    save_kimg: float = 20.0
    """A checkpoint so often."""
    sheet_kimg: float = 20.0
    """A sheet of samples from fixed seeds so often."""
    learning_rate: float = 2e-3
    beta1: float = 0.0
    """Momentum of Adam; 0 as in the paper, 0.5 where an anchor leads."""
    r1_gamma: float = 10.0
    r1_interval: int = 16
    """Steps between R1 penalties of the critic; 0 turns them off."""
    path_weight: float = 2.0
    path_interval: int = 4
    """Steps between path length penalties of the generator; 0 turns them off."""
    path_decay: float = 0.01
    style_mixing: float = 0.9
    """Share of samples drawn from two z."""
    ema_kimg: float = 10.0
    """Half-life of the averaged generator's weights."""
    ema_rampup: float = 0.05
    """Early on the half-life is this share of the pictures seen so far; 0 for none."""
    flip: bool = False
    """Mirror half of the real pictures."""
    critic: str = "plain"
    """plain: StyleGAN2's own; normed: with batch norms, which catches up with a trained generator
    at once; projected: critics over the features of the loss-side instruments
    (Sauer et al., 2021). The latter two need no penalty: set r1_interval to 0."""
    critic_width: int = 64
    """Channels of the projected critics, and those of a normed one at half the resolution."""
    critic_learning_rate: float = 0.0
    """Of a normed critic, whose layers are not equalised (1e-4 is usual); 0: the generator's."""
    anchor: float = 0.0
    """Weight of redrawing real pictures beside the game, which keeps a warm start's faces; needs
    the encoder of that warm start."""
    anchor_in: str = "z"
    """Where redrawn pictures are found: z, by the encoder of a warm start, or w_plus, by an
    identity encoder, which makes a generator whose faces can be found again."""
    anchor_learning_rate: float = 0.0
    """Of the anchor's encoder, whose layers are not equalised; 0: the generator's."""
    redrawn_game: float = 0.0
    """Weight of the critic's verdict on redrawn pictures, beside that on random ones; they cannot
    grow alike to please it, since each has a real picture to be like."""
    game_interval: int = 1
    """Steps between turns of the game; the anchor learns at every step."""
    look: str = "both"
    """Whose features compare redrawn pictures: both loss-side instruments', or one's."""
    critic_first_kimg: float = 0.0
    """So long the critic learns alone, so that a warm start is not led by a critic that knows
    nothing."""
    augment: bool = False
    """Show the critic pictures that are moved and tinted at random."""
    half: str = "none"
    """Data type of the highest resolutions: none, bfloat16, float16, or auto (bfloat16 where the
    processor computes with it, which many only emulate)."""

    def __post_init__(self):
        expect(
            self.half in ("none", "bfloat16", "float16", "auto"),
            f"half is none, bfloat16, float16 or auto; got {self.half!r}",
        )
        expect(
            self.critic in ("plain", "normed", "projected"),
            f"critic is plain, normed or projected; got {self.critic!r}",
        )
        expect(self.batch >= 1, f"batch is at least 1; got {self.batch}")
        expect(
            self.anchor_in in ("z", "w_plus"), f"anchor_in is z or w_plus; got {self.anchor_in!r}"
        )
        expect(
            self.redrawn_game == 0 or self.anchor > 0,
            "redrawn pictures come from an anchor: redrawn_game needs one",
        )
        expect(
            self.game_interval <= 1 or self.anchor > 0,
            "between turns of the game only the anchor learns: game_interval above 1 needs one",
        )
        expect(
            self.generator.resolution == self.discriminator.resolution,
            "generator and discriminator share one resolution; got "
            f"{self.generator.resolution} and {self.discriminator.resolution}",
        )
        expect(
            self.half != "float16" or self.generator.conv_clamp is not None,
            "float16 needs generator.conv_clamp (256 is usual)",
        )


def _generator(
    resolution: int, width: int, mapping_layers: int, base: int, channel_max: int, **rest: Any
) -> GeneratorTraining:
    """Equal channel widths on both sides; `rest` are fields of `GeneratorTraining`."""
    sizes: dict[str, Any] = {
        "resolution": resolution,
        "channel_base": base,
        "channel_max": channel_max,
    }
    sizes["conv_clamp"] = 256.0 if rest.get("half") == "float16" else None
    generator = GeneratorConfig(**sizes, z_dim=width, w_dim=width, mapping_layers=mapping_layers)
    return GeneratorTraining(generator, DiscriminatorConfig(**sizes), **rest)


GENERATOR_PRESETS: dict[str, GeneratorTraining] = {
    "nano": _generator(
        32, 64, 2, 1024, 64, total_kimg=60.0, tick_kimg=2.0, save_kimg=10.0, sheet_kimg=10.0,
        r1_gamma=1.0, ema_kimg=3.0, half="auto",
    ),
    "small": _generator(
        64, 128, 4, 2048, 128, total_kimg=1000.0, r1_gamma=1.0, half="auto",
    ),
    "medium": _generator(
        128, 256, 6, 8192, 256, batch=32, total_kimg=5000.0, r1_gamma=1.0, half="auto",
    ),
    "paper": _generator(
        1024, 512, 8, 32768, 512, batch=32, total_kimg=25_000.0, save_kimg=100.0, half="float16",
    ),
}  # fmt: skip


LEAST = {
    "batch": 1, "learning_rate": 0.0, "critic_learning_rate": 0.0,
    "anchor_learning_rate": 0.0, "r1_interval": 0, "path_interval": 0, "game_interval": 1,
    "ema_kimg": 0.0, "critic_first_kimg": 0.0,
}  # fmt: skip
"""The smallest value of settings that any training may have."""
ABOVE_ZERO = ("total_kimg", "tick_kimg", "save_kimg", "sheet_kimg")


def preset(table: dict[str, Any], name: str, **changes: Any) -> Any:
    """A row of a preset table, with some fields replaced.

    Args:
        changes: Fields by name; dots reach inside ("generator.w_dim"). A string is read as a
            literal of the field's own kind.
    """
    if name not in table:
        raise BadValue(f"there is no preset {name!r}; there are {', '.join(table)}")
    chosen = _replaced(table[name], changes, prefix="")
    for setting, value in vars(chosen).items():
        if setting in ABOVE_ZERO:
            expect(value > 0, f"{setting} is above 0; got {value}")
        elif setting in LEAST:
            least = LEAST[setting]
            expect(value >= least, f"{setting} is at least {least:g}; got {value}")
    return chosen


def parse_settings(settings: list[str]) -> dict[str, str]:
    """`["batch=8", "generator.w_dim=64"]` as a dictionary."""
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        expect(equals and key, f"--set takes key=value; got {setting!r}")
        pairs[key.strip()] = value.strip()
    return pairs


def _replaced(config: Any, changes: dict[str, Any], prefix: str) -> Any:
    """A copy of a nested frozen dataclass with all changes made at once, so that they may depend
    on one another."""
    names = [f.name for f in dataclasses.fields(config)]
    groups: dict[str, dict[str, Any]] = {}
    values: dict[str, Any] = {}
    for key, value in changes.items():
        name, _, rest = key.partition(".")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = (
                f"did you mean {prefix + near[0]!r}?" if near else f"there are {', '.join(names)}"
            )
            raise BadValue(f"there is no setting {prefix + key!r}; {hint}")
        is_group = dataclasses.is_dataclass(getattr(config, name))
        expect(rest or not is_group, f"{prefix + name!r} is a group of settings; name one in it")
        expect(is_group or not rest, f"there is no setting {prefix + key!r}: {name} has no parts")
        if is_group:
            groups.setdefault(name, {})[rest] = value
        else:
            values[name] = _like(getattr(config, name), value, prefix + name)
    for name, inner in groups.items():
        values[name] = _replaced(getattr(config, name), inner, f"{prefix}{name}.")
    return dataclasses.replace(config, **values)


def _like(old: Any, value: Any, name: str) -> Any:
    """`value` as the kind of `old`: text becomes a number or a truth value."""
    if isinstance(value, str) and not isinstance(old, str):
        try:  # "(1, 2)" and ".5" too
            value = ast.literal_eval(value.strip().capitalize())
        except (ValueError, SyntaxError):
            raise BadValue(f"{name} is like {old!r}; got {value!r}") from None
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    kinds = (type(old),) if old is not None else (float, int, type(None))
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(old, bool)):
        raise BadValue(f"{name} is like {old!r}; got {value!r}")
    return value
