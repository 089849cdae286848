"""How wide and how precise the layers of each resolution are: the same for both networks."""

from dataclasses import dataclass

from xfer.errors import expect


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Settings that generator and discriminator share."""

    channel_base: int = 32768
    """A layer at resolution r has min(channel_base / r, channel_max) channels."""
    channel_max: int = 512
    conv_clamp: float | None = None
    """Bound of every layer's output; needed for float16."""
    half_resolutions: int = 4
    """How many of the highest resolutions run in half precision when it is asked for."""

    def channels(self, resolution: int) -> int:
        """Width of the layers at a resolution."""
        return max(1, min(self.channel_base // resolution, self.channel_max))


def check_resolution(resolution: int, what: str) -> None:
    """Raise `BadValue` unless a network can have this resolution."""
    expect(
        resolution in [2**i for i in range(3, 11)],
        f"a {what}'s resolution is a power of two from 8 to 1024; got {resolution}",
    )
