"""A small folder of prepared clips, made without preparing anything."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from xfer.datasets.layout import INDEX, SETTINGS, shard_name
from xfer.media.pictures import encode_picture

SIZE = 8


def _encoded(colour: tuple[int, int, int], pixels: np.ndarray | None) -> bytes:
    if pixels is not None:
        return encode_picture(pixels, ".jpg", None)
    return encode_picture(np.full((SIZE, SIZE, 3), colour, np.uint8), ".png", None)


def make_clips(
    folder: Path,
    people: int = 4,
    clips: int = 2,
    frames: int = 5,
    pixels: np.ndarray | None = None,
) -> Path:
    """Pictures of one colour, red = person, green = clip, blue = frame; or all of them `pixels`."""
    (folder / "shards").mkdir(parents=True)
    rows = []
    with open(folder / shard_name(0), "wb") as shard:
        for person in range(people):
            for clip in range(clips):
                for frame in range(frames):
                    data = _encoded((person, clip, frame), pixels)
                    rows.append({
                        "clip": f"p{person}/c{clip}", "person": f"p{person}", "frame": frame,
                        "split": "val" if person == 0 else "train", "shard": shard_name(0),
                        "offset": shard.tell(), "length": len(data), "jaw": 0.1 * frame,
                        "landmarks": np.full(136, person, np.float32), "is_blurred": frame == 0,
                        "is_small": False, "is_turned": False, "is_outside": False,
                    })  # fmt: skip
                    shard.write(data)
    pd.DataFrame(rows).to_parquet(folder / INDEX)
    (folder / SETTINGS).write_text(
        json.dumps({"settings": {"size": SIZE if pixels is None else len(pixels)}})
    )
    return folder
