"""Picture files: any picture in safely, PNG and JPEG out with a word on where they come from.

Reading upholds: upright by EXIF, sRGB, three channels, transparency laid over white, 16 bits
rounded to 8. Whatever is wrong with a file, the one error is `BadFile`. Files are read by their
content, whatever they are called.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from xfer.errors import BadFile, MissingFile, expect
from xfer.media.provenance import Source, find_source, xmp_packet
from xfer.pixels import from_uint8, to_uint8
from xfer.runs import atomic

Pixels = UInt8[np.ndarray, "_ _ 3"]
"""One picture as bytes, channels last, of any height and width."""

# Only formats that hold pixels: others (PostScript, for one) would start programs to be drawn.
# MPO, several pictures in one file, is opened as JPEG; Pillow knows no format of that name.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "TGA")
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".mpo",
    ".jp2", ".avif", ".tga",
)  # fmt: skip
HEIF = (b"heic", b"heix", b"mif1", b"msf1")
"""How containers name themselves in which phones keep HEIC pictures; some with the last two names
hold AVIF."""
MOST_PIXELS = 80_000_000
"""Larger pictures are refused before any memory is taken for them."""


def read_picture(path: str | Path) -> Float[Tensor, "1 3 height width"]:
    """A picture file as a tensor in [-1, 1].

    Raises:
        MissingFile: There is no such file.
        BadFile: It is damaged, too large, or no picture.
    """
    return from_uint8(read_pixels(path)[None])


def read_pixels(path: str | Path, most_pixels: int = MOST_PIXELS) -> Pixels:
    """A picture file as bytes; see `read_picture`."""
    with _file(path) as file:
        return decode_picture(file, str(path), most_pixels)


def decode_picture(file: io.IOBase | bytes, name: str, most_pixels: int = MOST_PIXELS) -> Pixels:
    """An open picture file, or its bytes, as pixels; `name` stands in errors."""
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    with _opened(file, name) as picture:
        width, height = picture.size
        if width * height > most_pixels:
            raise BadFile(
                f"{name} has {width} x {height} pixels; at most {most_pixels / 1e6:g} million "
                "are read: make it smaller first"
            )
        return np.array(_as_rgb(_upright(picture)))


@contextlib.contextmanager
def _file(path: str | Path) -> Iterator[io.IOBase]:
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise MissingFile(f"there is no picture {path}") from None
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _opened(file: io.IOBase, name: str) -> Iterator[Image.Image]:
    """The picture in an open file; whatever goes wrong with it is `BadFile`."""
    try:
        with _OWN_MANNERS, Image.open(file, formats=FORMATS) as picture:
            yield picture
    except BadFile:
        raise
    # Decoders meet damage with every kind of exception, not only with OSError.
    except Exception as error:
        raise _damaged(file, name, error) from error


def _damaged(file: io.IOBase, name: str, error: Exception) -> BadFile:
    if _is_heic(file):
        return BadFile(f"{name} is HEIC, which cannot be read: export it as JPEG or PNG")
    if isinstance(error, UnidentifiedImageError):
        return BadFile(f"{name} is no picture: its content is of no known format, or it is empty")
    return BadFile(f"{name} is no picture, or a damaged one: {str(error) or type(error).__name__}")


def _is_heic(file: io.IOBase) -> bool:
    file.seek(0)
    head = file.read(64)
    return head[4:8] == b"ftyp" and head[8:12] in HEIF and b"avif" not in head


class _OwnManners:
    """Our own size limit in place of Pillow's, and no warnings: damage is ours to report.

    Both are global. Of pictures read at a time in several threads, the first sets them and the
    last puts back what was there before.
    """

    def __init__(self):
        self._lock, self._reading = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._reading:
                self._most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter("ignore")
            self._reading += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._reading -= 1
            if not self._reading:
                self._warnings.__exit__(None, None, None)
                Image.MAX_IMAGE_PIXELS = self._most


_OWN_MANNERS = _OwnManners()


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF says; a damaged EXIF block turns nothing."""
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        return picture


def _as_rgb(picture: Image.Image) -> Image.Image:
    picture = _in_srgb(picture)
    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(picture))).convert("RGB")
    if picture.mode in ("LA", "La", "PA", "RGBa", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _in_srgb(picture: Image.Image) -> Image.Image:
    """From the colour space that the file names; unnamed ones and damaged profiles pass as sRGB."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except Exception:
        return picture


def _eight_bits(values: np.ndarray) -> UInt8[np.ndarray, "height width"]:
    """One channel of more than 8 bits; what is white follows from the type and the values."""
    values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    brightest = values.max(initial=0)
    if values.dtype.kind == "f":
        white = 1.0 if brightest <= 1 else 255.0
    else:
        white = 65535.0 if values.dtype.itemsize == 2 or brightest > 255 else 255.0
    scaled = values.astype(np.float32).clip(0, white) * (255 / white)
    return np.rint(scaled).astype(np.uint8)


def write_picture(
    path: str | Path,
    image: Float[Tensor, "1 3 height width"],
    source: Source | None = Source.GENERATED,
    note: str = "",
    quality: int = 95,
) -> Path:
    """Write one picture as PNG or JPEG (by suffix), whole or not at all.

    Args:
        image: sRGB in [-1, 1]; values beyond are clamped, NaN is refused.
        source: What the file says of its origin; None for a plain photograph.
        note: A remark that stands beside it, such as seed or model.
        quality: Of JPEG, 1 to 100.
    """
    expect(image.isfinite().all(), f"a picture is finite; {path} would hold NaN or infinity")
    data = encode_picture(to_uint8(image)[0], Path(path).suffix, source, note, quality)
    with atomic(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def encode_picture(
    pixels: Pixels,
    suffix: str,
    source: Source | None = Source.GENERATED,
    note: str = "",
    quality: int = 95,
) -> bytes:
    """Pixels as the bytes of a PNG or JPEG file; the same pixels give the same bytes."""
    suffix = suffix.lower()
    expect(
        suffix in (".png", ".jpg", ".jpeg"),
        f"pictures are written as .png, .jpg or .jpeg; got '{suffix}'",
    )
    packet = xmp_packet(source, note) if source else None
    file = io.BytesIO()
    if suffix == ".png":
        texts = PngImagePlugin.PngInfo()
        if packet:
            texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        Image.fromarray(pixels).save(file, "PNG", pnginfo=texts, compress_level=4)
    else:
        extra = {"xmp": packet} if packet else {}
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0, **extra)
    return file.getvalue()


def picture_source(path: str | Path) -> Source | None:
    """What a picture file says of its origin; None if it says nothing."""
    with _file(path) as file, _opened(file, str(path)) as picture:
        packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    return find_source(packet)
