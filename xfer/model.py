"""The whole of the method: encoders, mapper, control and generator as one model.

Source: Jahoda and Cech, "Pose and Facial Expression Transfer by using StyleGAN", CVWW 2024.
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.assets import ASSETS
from xfer.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from xfer.control import Control
from xfer.encoders import IdentityEncoder, MotionEncoder
from xfer.errors import BadFile, BadValue, MissingFile
from xfer.mapper import Mapper, Person
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.stylegan2.wavelet import WaveletGenerator

PARTS = {kind.role: kind for kind in (MotionEncoder, Mapper, IdentityEncoder, Control)}
"""The networks of a model by their role in a file, beside the generator."""


class Transfer(nn.Module):
    """Driver and identity to the identity with the driver's pose and expression.

    Args:
        motion_encoder: With `mapper`, the learned way: motion as read from pixels.
        identity_encoder: May be absent: then identities are latents, not photos.
        control: The explicit way: motion as named factors. A model has one way at least.
    """

    def __init__(
        self,
        generator: Any,
        motion_encoder: MotionEncoder | None = None,
        mapper: Mapper | None = None,
        identity_encoder: IdentityEncoder | None = None,
        control: Control | None = None,
    ):
        super().__init__()
        if (motion_encoder is None) != (mapper is None) or (mapper is None and control is None):
            raise BadValue("a model needs a motion encoder and a mapper, or a control, or all")
        self.generator, self.motion_encoder, self.mapper = generator, motion_encoder, mapper
        self.identity_encoder, self.control = identity_encoder, control
        self.asset = "ffhq" if isinstance(generator, WaveletGenerator) else None
        for part in (motion_encoder, mapper, identity_encoder, control):
            if part is not None:
                found = (part.config.n_styles, part.config.w_dim)
                self.check_codes(found, f"the {part.role.replace('_', ' ')} has")

    @classmethod
    def load(
        cls,
        path: str | Path | Checkpoint,
        identity_encoder: str | Path | None = None,
        generator: str | Path = "ffhq",
    ) -> "Transfer":
        """Open a model in eval mode: our own file, or the paper's `best_model.pt`.

        Args:
            path: A file, a name that `xfer weights` lists, or what `read_checkpoint` gave.
            identity_encoder: A ReStyle file, for models that carry none (the paper's).
            generator: For files that neither contain nor name one.

        Raises:
            MissingFile, BadFile: No such file; damaged, or with a part missing or misfitting.
        """
        checkpoint = path if isinstance(path, Checkpoint) else read_checkpoint(path)
        parts = {
            role: kind.load(checkpoint)
            for role, kind in PARTS.items()
            if role in checkpoint.networks
        }
        if "control" not in parts:
            checkpoint.pick("motion_encoder"), checkpoint.pick("mapper")
        if identity_encoder is not None:
            parts["identity_encoder"] = IdentityEncoder.load(identity_encoder)
        try:
            return cls(_generator(checkpoint, generator), **parts).eval()
        except ValueError as error:
            raise BadFile(f"{checkpoint.path}: {error}") from None

    def save(
        self,
        path: str | Path,
        facts: dict[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Path:
        """Write all networks into one safetensors file; arguments as `Storable.save`.

        A generator that is an asset is named, with its sha256, and not contained.
        """
        parts = {role: getattr(self, role) for role in PARTS}
        facts = dict(facts or {})
        if self.asset:
            facts["generator"] = {"asset": self.asset, "sha256": asset_hashes(self.asset)}
        else:
            parts["generator"] = self.generator
        packed = {role: part.pack(dtype) for role, part in parts.items() if part is not None}
        return write_checkpoint(path, packed, facts)

    @torch.no_grad()
    def identify(self, image: Image) -> WPlus:
        """Identity codes of aligned photos: their latents after the last round of inversion."""
        if self.identity_encoder is None:
            how = "use Transfer.load(path, identity_encoder=FILE) or xfer.inversion.invert"
            raise MissingFile(f"this model has no identity encoder, which photos need: {how}")
        return self.identity_encoder.invert(image, self.generator)

    @torch.no_grad()
    def random_identity(self, seed: int, psi: float = 0.7) -> WPlus:
        """A random person: w itself for "ffhq" and without an encoder; else, as in the paper,
        w -> image -> encoder.

        The paper's detour matters to its mapper, which never saw raw w in training.
        """
        generator = self.generator
        z = z_from_seeds([seed], generator.z_dim).to(generator.w_mean)
        w_plus = generator.truncate(generator.to_w_plus(generator.mapping(z)), psi)
        if self.asset or self.identity_encoder is None:
            return w_plus
        return self.identify(generator.synthesis(w_plus))

    @torch.no_grad()
    def person(self, identity: WPlus) -> Person:
        """Prepare people for many frames, from their identity codes."""
        self.check_codes(tuple(identity.shape[1:]), "the identity has")
        return self.mapper.person(identity, *self.motion_encoder.linear())

    def forward(
        self, driver: Image, identity: WPlus
    ) -> Float[Tensor, "batch 3 resolution resolution"]:
        """The plain path: aligned drivers and identity codes, row by row."""
        latent = self.mapper(identity, self.motion_encoder(driver))
        return self.generator.synthesis(latent)

    @torch.no_grad()
    def transfer(
        self,
        driver: Image,
        identity: Float[Tensor, "_ 3 _ _"] | Float[Tensor, "_ n_styles w_dim"] | Person,
    ) -> Float[Tensor, "_ 3 resolution resolution"]:
        """Show an identity with the drivers' pose and expression.

        Args:
            driver: Aligned images; every one gives a frame.
            identity: A photo (aligned), a latent, or a prepared `Person` for many calls: one for
                all drivers, or one for each.
        """
        if self.motion_encoder is None:
            raise BadValue("this model has no motion encoder: move identities by its control")
        if not isinstance(identity, Person):
            identity = self.person(self.identify(identity) if identity.ndim == 4 else identity)
        people = len(identity.offset)
        if people not in (1, len(driver)):
            raise BadValue(f"one identity, or one for each of {len(driver)} drivers; got {people}")
        h = self.motion_encoder.bottleneck(driver)
        return self.generator.synthesis(identity.latents(h))

    def check_codes(self, found: tuple[int, int], whose: str) -> None:
        """Raise `BadValue` unless codes are of the generator's number and width of styles."""
        wanted = (self.generator.n_styles, self.generator.w_dim)
        if found != wanted:
            takes = "the generator takes {} styles of {}, and so must every part".format(*wanted)
            raise BadValue(f"{takes}; {whose} {found[0]} of {found[1]}")


def asset_hashes(asset: str) -> dict[str, str]:
    """The sha256 of each file of a generator that is fetched."""
    return {name: ASSETS[name].sha256 for name in ASSETS if name.rpartition("-")[0] == asset}


def _generator(checkpoint: Checkpoint, usual: str | Path) -> Any:
    """The generator that a file contains or names."""
    facts = checkpoint.facts.get("generator")
    if {"generator", "generator_raw"} & checkpoint.networks.keys():
        if isinstance(facts, dict):
            made_for = f"{checkpoint.path} has parts made for the generator {facts.get('asset')}"
            raise BadFile(f"{made_for} and contains another: join what was trained on one")
        return Generator.load(checkpoint)
    if isinstance(facts, dict):
        usual = facts.get("asset")
        if usual != "ffhq" or facts.get("sha256") != asset_hashes("ffhq"):
            made_for = f"{checkpoint.path} was made for an edition of the generator {usual}"
            raise BadFile(f"{made_for} that this version of xfer does not fetch: use other weights")
    return Generator.load(usual)
