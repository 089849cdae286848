"""Image files: any image in safely, PNG, JPEG and WebP out with a word on where they come from.

Reading upholds: upright by EXIF, sRGB by ICC profile, three channels, transparency laid over
white, 16 bits rounded to 8. Files are known by their content, whatever they are called. What is
written states its origin in IPTC's words (digital source type): in an XMP packet, which viewers and
platforms look for, and videos in the container's comment.
"""

import contextlib
import enum
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.runs import atomic

Pixels = UInt8[np.ndarray, "_ _ 3"]
"""One image as bytes, sRGB, channels last, of any height and width."""

# Only formats that hold pixels: others (PostScript, for one) would start programs to be drawn.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF", "TGA")
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
IMAGE_NAME = re.compile(r"\.(jpe?g|png|webp|tiff?|bmp|gif|p[pg]m|mpo|jp2|avif|tga|heic)", re.I)
VIDEO_NAME = re.compile(
    r"\.(mp4|mov|m4v|mkv|webm|avi|mpe?g|m?ts|m2ts|flv|wmv|3gp|ogv|mxf|vob)", re.I
)
HEIF = (b"heic", b"heix", b"mif1", b"msf1")
IMAGE_HEADS = (
    b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ",
)  # fmt: skip
VIDEO_HEADS = (
    b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x30\x26\xb2\x75\x8e\x66", b"OggS", b"\0\0\1\xba",
    b"\0\0\1\xb3", b"\x06\x0e\x2b\x34", b".RMF", b"YUV4MPEG2",
)  # fmt: skip
ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""With which QuickTime of old begins, after four bytes."""
MOST_PIXELS = 80_000_000
"""Larger images are refused before any memory is taken for them."""

# The size limit is ours to check, and damage ours to report.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(path: str | Path) -> Pixels:
    """An image file as sRGB bytes, of an animated one the first frame; else `BadFile`."""
    with opened_image(path) as image:
        image.load()
        with contextlib.suppress(Exception):  # a damaged EXIF block turns nothing
            image = ImageOps.exif_transpose(image)
        return flat(image)


@contextlib.contextmanager
def opened_image(path: str | Path) -> Iterator[Image.Image]:
    """An open image file whose header has been read; whatever goes wrong with it is `BadFile`."""
    try:
        with open(path, "rb") as file, Image.open(file, formats=FORMATS) as image:
            check_size(path, *image.size)
            yield image
    except (BadFile, MissingFile):
        raise
    except UnidentifiedImageError:
        known = "is HEIC, which cannot be read: export it as JPEG or PNG"
        other = "is no image: its content is of no known format, or it is empty"
        raise BadFile(f"{path} {known if _head(path)[8:12] in HEIF else other}") from None
    # Decoders meet damage with every kind of exception, not only with OSError.
    except Exception as error:
        if not exists(path):
            raise MissingFile(f"there is no image {path}") from None
        raise BadFile(f"{path} is no image, or a damaged one: {words(error)}") from error


def check_size(path: str | Path, width: int, height: int) -> None:
    """Refuse images and frames that would take too much memory."""
    if width * height > MOST_PIXELS:
        most = f"at most {MOST_PIXELS / 1e6:g} million are read: make it smaller"
        raise BadFile(f"{path} has {width} x {height} pixels; {most}")


def words(error: Exception) -> str:
    """What went wrong, in the words of the library that met it, without its numbers."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def flat(image: Image.Image) -> Pixels:
    """Any mode of Pillow as sRGB bytes: profile applied, transparency over white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode in ("P", "1", "YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    image = _in_srgb(image.convert("RGB") if alpha else image, profile)
    if alpha:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return np.array(image)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """From the colour space that the file names; unnamed ones and damaged profiles pass as sRGB."""
    with contextlib.suppress(Exception):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        space = source.profile.xcolor_space.strip()
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}[space]
        # Gray pixels may carry a colour profile; other profiles fit their own pixels only.
        if image.mode == mode or (image.mode, mode) == ("L", "RGB"):
            target = ImageCms.createProfile("sRGB")
            converted = image.convert(mode)
            return ImageCms.profileToProfile(converted, source, target, outputMode="RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> UInt8[np.ndarray, "height width"]:
    """One channel of more than 8 bits; what is white follows from the type and the values."""
    values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    brightest, is_float = values.max(initial=0), values.dtype.kind == "f"
    deep = not is_float and (values.dtype.itemsize == 2 or brightest > 255)
    white = 65535.0 if deep else 1.0 if is_float and brightest <= 1 else 255.0
    return np.rint(values.astype(np.float32).clip(0, white) * (255 / white)).astype(np.uint8)


PREFIX = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 Iptc4xmpExt:DigitalSourceType="{type}" xmp:CreatorTool="xfer">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


class Source(enum.Enum):
    """How an image came about (IPTC digital source type)."""

    GENERATED = "trainedAlgorithmicMedia"
    COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
    """A real image into which a generated part was pasted."""


WORDS = {
    Source.GENERATED: "Synthetic: generated by a neural network; shows no real event.",
    Source.COMPOSITE: "Synthetic: a real image altered by a neural network.",
}


def xmp_packet(source: Source, note: str = "") -> bytes:
    """The XMP packet that states `source`, with a free remark after the fixed words."""
    text = escape(f"{WORDS[source]} {note}".strip())
    return XMP.format(type=PREFIX + source.value, text=text).encode()


def comment(source: Source) -> str:
    """The same statement as one line, for a video's comment."""
    return f"{WORDS[source]} DigitalSourceType={PREFIX}{source.value}"


def write_image(path: str | Path, array: Pixels, source: Source, note: str = "") -> Path:
    """Write one image as PNG, JPEG or WebP (by suffix), whole or not at all.

    Args:
        source: What the file says of its origin.
        note: A remark that stands beside it, such as seed or model.
    """
    form = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    if (suffix := Path(path).suffix.lower()) not in form:
        raise BadValue(f"images are written as .png, .jpg or .webp; got {path}")
    packet = xmp_packet(source, note)
    options = {"quality": 95, "subsampling": 0, "xmp": packet}
    if suffix == ".png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        options = {"pnginfo": texts, "compress_level": 4}
    data = io.BytesIO()  # on a full disk Pillow cuts a JPEG's last bytes and says nothing
    Image.fromarray(array).save(data, form[suffix], **options)
    with atomic(path) as temporary:
        temporary.write_bytes(data.getbuffer())
    return Path(path)


def to_tensor(
    array: UInt8[np.ndarray, "*batch height width 3"],
) -> Float[Tensor, "n 3 height width"]:
    """One image, or a batch of them, as sRGB in [-1, 1]."""
    batch = array[None] if array.ndim == 3 else array
    planes = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
    return planes.float() / 127.5 - 1


def to_array(image: Float[Tensor, "n 3 height width"]) -> UInt8[np.ndarray, "n height width 3"]:
    """Images in [-1, 1] as bytes, channels last; what lies outside is clamped."""
    scaled = (image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def exists(path: str | Path) -> bool:
    """Whether there is such a file or folder; a text too long or odd to be a name is none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def kind_of(path: str | Path) -> str | None:
    """'image' or 'video', by content before name; None for what is neither or is not there.

    Animated images are videos. This is the one rule of what counts as an input, everywhere.
    """
    if not exists(path) or Path(path).is_dir():
        return None
    if holds_image(path):
        with contextlib.suppress(BadFile), opened_image(path) as image:
            if image.format in ANIMATED and getattr(image, "is_animated", False):
                return "video"
        return "image"
    # Transport streams repeat a mark every 188 or 192 bytes.
    head, suffix = _head(path), Path(path).suffix
    riff = head[:4] + head[8:12]
    stream = any(head[at : at + 3 * step : step] == b"GGG" for at, step in ((0, 188), (4, 192)))
    known = head.startswith(VIDEO_HEADS) or riff == b"RIFFAVI " or head[4:8] in (b"ftyp", *ATOMS)
    # An empty or damaged file of such a name gets its sentence where it is read.
    if known or stream or VIDEO_NAME.fullmatch(suffix):
        return "video"
    return "image" if IMAGE_NAME.fullmatch(suffix) else None


def holds_image(path: str | Path) -> bool:
    """Whether a file is an image, still or animated, by its content."""
    head = _head(path)
    brands = (b"ftypavif", b"ftypavis", *(b"ftyp" + brand for brand in HEIF))
    return (
        head.startswith(IMAGE_HEADS) or head[:4] + head[8:12] == b"RIFFWEBP" or head[4:12] in brands
    )


def _head(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(600)
    except (OSError, ValueError):
        return b""


def list_media(folder: str | Path, recursive: bool = False) -> list[Path]:
    """Images and videos of a folder in natural order (2 before 10), hidden ones left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFile(f"there is no folder {folder}")
    inside = folder.rglob("*") if recursive else folder.iterdir()
    visible = [p for p in inside if not any(q[0] == "." for q in p.relative_to(folder).parts)]
    # Texts and numbers take turns in what is split.
    natural = lambda p: [int(s) if s.isdecimal() else s for s in re.split(r"(\d+)", str(p).lower())]
    return sorted((p for p in visible if kind_of(p)), key=natural)
