"""A small folder of prepared clips whose every picture tells where it comes from."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from xfer.datasets.layout import INDEX, SETTINGS, shard_name
from xfer.media.pictures import encode_picture

SIZE = 8


def make_clips(folder: Path, people: int = 4, clips: int = 2, frames: int = 5) -> Path:
    """Pictures of one colour: red = person, green = clip, blue = frame."""
    (folder / "shards").mkdir(parents=True)
    rows = []
    with open(folder / shard_name(0), "wb") as shard:
        for person in range(people):
            for clip in range(clips):
                for frame in range(frames):
                    pixels = np.full((SIZE, SIZE, 3), (person, clip, frame), np.uint8)
                    data = encode_picture(pixels, ".png", None)
                    rows.append({
                        "clip": f"p{person}/c{clip}", "person": f"p{person}", "frame": frame,
                        "split": "val" if person == 0 else "train", "shard": shard_name(0),
                        "offset": shard.tell(), "length": len(data), "jaw": 0.1 * frame,
                        "landmarks": np.full(136, person, np.float32), "is_blurred": frame == 0,
                        "is_small": False, "is_turned": False, "is_outside": False,
                    })  # fmt: skip
                    shard.write(data)
    pd.DataFrame(rows).to_parquet(folder / INDEX)
    (folder / SETTINGS).write_text(json.dumps({"settings": {"size": SIZE}}))
    return folder
