"""The whole of the method: encoders, mapper and generator as one model.

Source: Jahoda and Cech, "Pose and Facial Expression Transfer by using StyleGAN", CVWW 2024.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.checkpoints import Checkpoint, Storable, load_network, read_checkpoint, write_checkpoint
from xfer.encoders import IdentityEncoder, MotionEncoder
from xfer.errors import BadFile, BadValue, MissingFile, expect
from xfer.mapper import Mapper, Response
from xfer.shapes import Image, WPlus
from xfer.stylegan2.generator import Generator, z_from_seeds

PARTS = {
    "generator": Generator,
    "motion_encoder": MotionEncoder,
    "mapper": Mapper,
    "identity_encoder": IdentityEncoder,
}
"""The networks of a model by their role in a file; all but the last are needed."""


class Person(NamedTuple):
    """Someone who can be shown moving: what is computed once, however many frames follow."""

    identity: WPlus
    """The identity code: one row a person."""
    response: Response
    """Latents as an affine function of the motion encoder's bottleneck."""


class Transfer(nn.Module):
    """Driver and identity to the identity with the driver's pose and expression.

    Args:
        identity_encoder: May be absent: then identities are latents, not photos.
    """

    def __init__(
        self,
        generator: Generator,
        motion_encoder: MotionEncoder,
        mapper: Mapper,
        identity_encoder: IdentityEncoder | None = None,
    ):
        super().__init__()
        self.generator, self.motion_encoder = generator, motion_encoder
        self.mapper, self.identity_encoder = mapper, identity_encoder
        for part in (motion_encoder, mapper, identity_encoder):
            if part is not None:
                found = (part.config.n_styles, part.config.w_dim)
                self._expect_codes(found, f"the {part.role.replace('_', ' ')} writes")

    # Files ---------------------------------------------------------------------------------

    @classmethod
    def load(
        cls, path: str | Path | Checkpoint, identity_encoder: str | Path | None = None
    ) -> "Transfer":
        """Open a model in eval mode: our own file, or the paper's `best_model.pt`.

        Args:
            path: A file, the name of a shipped one ("small"), or what `read_checkpoint` gave.
            identity_encoder: A ReStyle file, for models that carry none (the paper's).

        Raises:
            MissingFile, BadFile: No such file; damaged, or with a part missing or misfitting.
        """
        checkpoint = path if isinstance(path, Checkpoint) else read_checkpoint(path)
        parts = {
            role: load_network(checkpoint, role, kind.from_network)
            for role, kind in PARTS.items()
            if role in checkpoint.networks or role != "identity_encoder"
        }
        if identity_encoder is not None:
            parts["identity_encoder"] = IdentityEncoder.load(identity_encoder)
        try:
            return cls(**parts).eval()
        except ValueError as error:
            raise BadFile(f"{checkpoint.path}: {error}") from None

    def save(
        self,
        path: str | Path,
        facts: dict[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        companions: Sequence[Storable] = (),
    ) -> Path:
        """Write all networks into one safetensors file; `facts` and `dtype` as in `Storable.save`.

        Args:
            companions: What shall travel in the same file, such as controls; each opens alone.
        """
        parts = {role: getattr(self, role) for role in PARTS}
        parts |= {companion.role: companion for companion in companions}
        packed = {role: part.pack(dtype) for role, part in parts.items() if part is not None}
        return write_checkpoint(path, packed, facts)

    def prepare(
        self, dtype: torch.dtype = torch.float32, compile: bool = False
    ) -> "PreparedTransfer":
        """An inference copy, several times faster; arguments as `Generator.prepare`."""
        return PreparedTransfer(self, dtype, compile)

    # Identities ----------------------------------------------------------------------------

    @torch.no_grad()
    def identify(self, image: Image, rounds: int | None = None) -> WPlus:
        """Identity codes of aligned photos: their latents after the last round of inversion."""
        if self.identity_encoder is None:
            raise MissingFile(
                "this model has no identity encoder, which photos need: load one with "
                "Transfer.load(path, identity_encoder=FILE), or give the identity as a latent"
            )
        return self.identity_encoder.invert(image, self.generator, rounds)

    @torch.no_grad()
    def random_identity(self, seed: int, psi: float = 0.7, rounds: int | None = None) -> WPlus:
        """A random person: z -> w -> picture -> identity encoder, as in the paper.

        The detour matters: raw w lies outside of what the mapper was trained on.
        """
        z = z_from_seeds([seed], self.generator.z_dim)
        return self.identify(self.generator(z.to(self.generator.w_mean), psi), rounds)

    @torch.no_grad()
    def person(self, identity: WPlus) -> Person:
        """Prepare people for many frames, from their identity codes."""
        self._expect_codes(tuple(identity.shape[1:]), "the identity has")
        return Person(identity, self._responder()(identity))

    # Transfer ------------------------------------------------------------------------------

    def forward(
        self, driver: Image, identity: WPlus
    ) -> Float[Tensor, "batch 3 resolution resolution"]:
        """The plain path: aligned drivers and identity codes, row by row."""
        latent = self.mapper(identity, self.motion_encoder(driver))
        return self.generator.synthesis(latent)

    def latents(
        self, h: Float[Tensor, "batch bottleneck"], person: Person
    ) -> Float[Tensor, "_ n_styles w_dim"]:
        """Latents of motions (`motion_encoder.bottleneck`): one product a frame."""
        return person.response.latents(h)

    @torch.no_grad()
    def transfer(
        self,
        driver: Image,
        identity: Float[Tensor, "_ 3 _ _"] | Float[Tensor, "_ n_styles w_dim"] | Person,
    ) -> Float[Tensor, "_ 3 resolution resolution"]:
        """Show an identity with the drivers' pose and expression.

        Args:
            driver: Aligned pictures; every one gives a frame.
            identity: A photo (aligned), a latent, or a prepared `Person` for many calls: one for
                all drivers, or one for each.
        """
        if not isinstance(identity, Person):
            identity = self.person(self.identify(identity) if identity.ndim == 4 else identity)
        people = len(identity.identity)
        expect(
            people in (1, len(driver)),
            f"one identity, or one for each of {len(driver)} drivers, is needed; got {people}",
        )
        h = self.motion_encoder.bottleneck(driver)
        return self.generator.synthesis(self.latents(h, identity))

    def _responder(self) -> Callable[[WPlus], Response]:
        return self.mapper.responder(*self.motion_encoder.linear())

    def _expect_codes(self, found: tuple[int, int], whose: str) -> None:
        wanted = (self.generator.n_styles, self.generator.w_dim)
        expect(
            found == wanted,
            f"the generator takes {wanted[0]} styles of {wanted[1]}, and so must every part; "
            f"{whose} {found[0]} of {found[1]}",
        )


class PreparedTransfer(Transfer):
    """A model arranged for speed, with the same methods and no gradients.

    The motion encoder's norms are folded, the generator is prepared, and what the cheap path
    computes for all people alike is computed once. Part of the weights stay the model's own: when
    they change, prepare it anew.

    Args:
        dtype: Of convolutions; float32 where the processor would only emulate it.
        compile: Of the generator, through torch.compile.
    """

    def __init__(self, model: Transfer, dtype: torch.dtype = torch.float32, compile: bool = False):
        nn.Module.__init__(self)
        self.generator = model.generator.prepare(dtype, compile)
        self.motion_encoder = model.motion_encoder.folded(self.generator.dtype)
        self.mapper, self.identity_encoder = model.mapper, model.identity_encoder
        with torch.no_grad():
            self._respond = self.mapper.responder(*self.motion_encoder.linear())
        self.eval()

    def save(self, *_: Any, **__: Any) -> Path:
        """Refused: a prepared copy is no file; save the model it was made from."""
        raise BadValue("a prepared model cannot be saved; save the model it was prepared from")

    def _responder(self) -> Callable[[WPlus], Response]:
        return self._respond
