"""What files say of their origin, as Pillow and FFmpeg read it."""

import av
from PIL import Image, UnidentifiedImageError

from xfer.media.provenance import PREFIX, Source


def source_in(path):
    """The kind of origin that an image or video names."""
    try:
        with Image.open(path) as image:
            text = str(image.info.get("xmp") or image.info["XML:com.adobe.xmp"])
    except UnidentifiedImageError:
        with av.open(f"file:{path}") as container:
            text = container.metadata["comment"]
    return next(source for source in Source if PREFIX + source.value in text)
