"""Folders of world frames without rendering: noise in the layout that `render_frames` writes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from xfer.runs import write_json


def make_frames(folder, people=4, frames=3, size=16, seed=0, factors: Sequence[str] = ()):
    """Noise with made-up truth: enough for everything but learning."""
    rng = np.random.default_rng(seed)
    total = people * frames
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "frames.npy", rng.integers(0, 256, (total, size, size, 3), dtype=np.uint8))
    columns = {"person": np.arange(total) // frames}
    columns |= {name: rng.normal(size=total) for name in factors}
    columns["landmarks"] = list(rng.normal(size=(total, 136)).astype(np.float32))
    pd.DataFrame(columns).to_parquet(folder / "frames.parquet", index=False)
    facts = {"people": people, "frames": frames, "size": size, "seed": seed}
    write_json(folder / "frames.json", facts | {"preset": "studio", "scenes": "person"})
    return folder
