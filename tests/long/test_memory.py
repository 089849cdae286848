"""Memory over an hour of film, at two frames a second: it does not grow. Some 15 minutes."""

import subprocess
import sys
import time

import av
import numpy as np
import psutil
import pytest
from skimage.data import astronaut

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """An hour with sound, in which a camera pans to and fro over the astronaut's face."""
    path, image = tmp_path_factory.mktemp("film") / "hour.mp4", astronaut()
    noise = np.random.default_rng(0).integers(-3000, 3000, (1, 4000), np.int16)
    with av.open(str(path), "w") as file:
        images, sound = file.add_stream("mpeg4", rate=2), file.add_stream("aac", rate=8000)
        images.width, images.height, images.pix_fmt = 320, 256, "yuv420p"
        sound.layout = "mono"
        for i in range(7200):
            x = 60 + round(20 + 20 * np.sin(i / 5))
            cut = np.ascontiguousarray(image[0:256, x : x + 320])
            file.mux(images.encode(av.VideoFrame.from_ndarray(cut)))
            heard = av.AudioFrame.from_ndarray(noise, "s16", "mono")
            heard.sample_rate = 8000
            file.mux(sound.encode(heard))
        file.mux([*images.encode(None), *sound.encode(None)])
    return path


COMMANDS = {
    "reenact": "--driver {film} --identity random:1 --size 256 --out {out}/a.mp4",
    "prepare": "--inputs {film} --most-lost-s 1 --n-workers 0 --out {out}/clips",
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_memory_does_not_grow_over_an_hour_of_film(verb, film, tmp_path):
    words = COMMANDS[verb].format(film=film, out=tmp_path).split()
    job, used = subprocess.Popen([sys.executable, "-m", "xfer", verb, *words]), []
    while job.poll() is None:
        used.append(psutil.Process(job.pid).memory_info().rss / 1e6)
        time.sleep(1)
    assert job.returncode == 0
    first, last = np.mean(used[30:60]), np.mean(used[-30:-1])
    print(f"{verb}: {first:.0f} MB in the first minute, {last:.0f} MB in the last of {len(used)} s")
    assert last < first + 100
