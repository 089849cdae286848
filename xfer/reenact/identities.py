"""Who is to be shown: photos, latents and seeds as people ready for many frames."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from xfer.axes import WPlus
from xfer.controls import between
from xfer.errors import BadFile, BadValue, MissingFile, expect
from xfer.files import registry
from xfer.media.detectors import Detector
from xfer.media.kinds import kind_of
from xfer.media.pictures import Pixels, picture_source, read_pixels
from xfer.media.provenance import Source
from xfer.model import Person
from xfer.reenact.drivers import find_place
from xfer.reenact.places import Place, cut
from xfer.reenact.settings import Settings
from xfer.reenact.studio import Studio, say
from xfer.runs import atomic

LATENTS = (".npy", ".safetensors")


class Photo(NamedTuple):
    """The picture that an identity was taken from."""

    pixels: Pixels
    place: Place


class Subject(NamedTuple):
    """One person, with all that does not change from frame to frame."""

    name: str
    person: Person
    own: Float[Tensor, "1 bottleneck"]
    """The motion that the identity itself shows."""
    portrait: Float[Tensor, "1 3 _ _"]
    """What they look like: the aligned photo, or the picture of the latent."""
    photo: Photo | None = None


def open_identity(
    texts: Sequence[str], studio: Studio, settings: Settings, detector: Detector | None
) -> Subject:
    """A person from photos of them, one latent file, or `random:SEED`."""
    expect(texts, "an identity is needed: a photo, a latent or random:SEED")
    seed = _seed(texts[0])
    whole = [t for t in texts if Path(t).suffix.lower() in LATENTS or _seed(t) is not None]
    if whole:
        expect(
            len(texts) == 1,
            f"several identities are photos of one person, and {whole[0]} is a person by itself: "
            "--grid shows one after the other, --between-identities one between two",
        )
        code = _latent(texts[0], studio) if seed is None else random_code(studio, seed, settings)
        return from_code(code, studio, texts[0])
    paths = [path for text in texts for path in _photos(Path(text))]
    photos = [_open_photo(path, detector, settings.aligned) for path in paths]
    real = [path for path in paths if picture_source(path) is not Source.RENDERED]
    if studio.of_the_face_world and real:
        say(f"these weights know the face world only: {real[0]} becomes a distant relation")
    return from_photos(photos, studio, settings, texts[0])


def _seed(text: str) -> int | None:
    if not text.startswith("random"):
        return None
    found = re.fullmatch(r"random:(\d{1,18})", text)
    if found is None and not Path(text).exists():
        raise BadValue(f"a random person is random:SEED, such as random:7; got '{text}'")
    return int(found[1]) if found else None


def _photos(path: Path) -> list[Path]:
    """A photo, or all photos of a folder."""
    if not path.is_dir():
        if not path.exists():
            raise MissingFile(f"there is no identity {path}")
        expect(kind_of(path) != "video", f"an identity is a photo; {path} is a video")
        return [path]
    found = [p for p in sorted(path.iterdir()) if p.is_file() and kind_of(p) == "picture"]
    expect(found, f"there is no photo in {path}")
    return found


def _open_photo(path: Path, detector: Detector | None, aligned: bool) -> Photo:
    pixels = read_pixels(path)
    return Photo(pixels, find_place(pixels, detector, str(path), aligned))


@torch.no_grad()
def from_photos(
    photos: Sequence[Photo], studio: Studio, settings: Settings, name: str = "photo"
) -> Subject:
    """A person from photos: codes and motions are averaged; pasting goes into the first one."""
    model = studio.model
    images = [cut(photo.pixels, photo.place.crop, studio.size, True) for photo in photos]
    aligned = torch.cat(images).to(studio.device)
    codes = torch.cat([model.identify(image, settings.rounds) for image in aligned.split(1)])
    code = codes.mean(0, keepdim=True)
    # The picture of the code, where the photo is of another world than the weights.
    shown = model.generator.synthesis(code) if studio.of_the_face_world else aligned
    own = model.motion_encoder.bottleneck(shown).mean(0, keepdim=True)
    return Subject(name, model.person(code), own, images[0], photos[0])


@torch.no_grad()
def from_code(code: WPlus, studio: Studio, name: str = "latent") -> Subject:
    """A person from an identity code."""
    person = studio.model.person(code.to(studio.device))
    picture = studio.model.generator.synthesis(person.identity)
    own = studio.model.motion_encoder.bottleneck(picture)
    return Subject(name, person, own, picture.float().cpu())


def between_subjects(first: Subject, second: Subject, share: float, studio: Studio) -> Subject:
    """A person between two; motion of their own lies between, too."""
    code = between(first.person.identity, second.person.identity, share)
    mixed = from_code(code, studio, f"{first.name} to {second.name}")
    return mixed._replace(own=between(first.own, second.own, share))


def random_code(studio: Studio, seed: int, settings: Settings) -> WPlus:
    """The code of a random person, kept for the next time: inverting large pictures takes long."""
    model = studio.model
    if model.identity_encoder is None:
        return model.random_identity(seed, settings.psi)  # says what is missing
    asked = f"{studio.key} {seed} {settings.psi} {settings.rounds}"
    digest = hashlib.sha256(asked.encode()).hexdigest()[:24]
    place = registry.cache() / "people" / f"{digest}.npy"
    if studio.key and place.exists():
        return _checked(_array(place), place, studio)
    code = model.random_identity(seed, settings.psi, settings.rounds).float()
    if studio.key:
        with atomic(place) as temporary, open(temporary, "wb") as file:
            np.save(file, code.cpu().numpy())
    return code


def _latent(text: str, studio: Studio) -> WPlus:
    path = Path(text)
    if not path.exists():
        raise MissingFile(f"there is no latent {path}")
    if path.suffix.lower() == ".npy":
        return _checked(_array(path), path, studio)
    try:
        tensors = load_file(path)
    except (ValueError, OSError, SafetensorError) as error:
        raise BadFile(f"{path} is no latent, or a damaged one: {error}") from error
    if len(tensors) != 1:
        raise BadFile(
            f"{path} should hold one tensor, the latent; it holds {', '.join(tensors) or 'none'}"
        )
    return _checked(next(iter(tensors.values())).float().numpy(), path, studio)


def _array(path: Path) -> np.ndarray:
    """The numbers in a .npy file; NumPy's own errors advise to run what is in it."""
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise BadFile(
            f"{path} is no latent, or a damaged one: a .npy file holds one array of numbers, as "
            "numpy.save writes it"
        ) from error


def _checked(values: np.ndarray, path: Path, studio: Studio) -> WPlus:
    """One latent of this generator: a row a style, or one style for all."""
    generator = studio.model.generator
    wanted = (generator.n_styles, generator.w_dim)
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise BadFile(f"{path} should hold finite numbers")
    if values.size == wanted[1]:
        values = np.broadcast_to(values.reshape(1, -1), wanted)
    if values.size != wanted[0] * wanted[1] or values.shape[-2:] != wanted:
        raise BadFile(
            f"{path} is {' x '.join(map(str, values.shape))}; these weights take latents of "
            f"{wanted[0]} x {wanted[1]}"
        )
    code = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return code.reshape(1, *wanted).to(studio.device)
