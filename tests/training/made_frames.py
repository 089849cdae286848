"""Folders of world frames without rendering: noise in the layout that `render_frames` writes."""

import json

import numpy as np
import pandas as pd


def make_frames(folder, people=4, frames=3, size=16):
    rng = np.random.default_rng(0)
    total = people * frames
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "frames.npy", rng.integers(0, 256, (total, size, size, 3), dtype=np.uint8))
    table = pd.DataFrame({"person": np.arange(total) // frames})
    table["landmarks"] = list(np.zeros((total, 136), np.float32))
    table.to_parquet(folder / "frames.parquet", index=False)
    record = {"people": people, "frames": frames, "size": size, "seed": 0, "scenes": "person"}
    (folder / "frames.json").write_text(json.dumps(record))
    return folder
