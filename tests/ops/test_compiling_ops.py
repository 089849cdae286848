import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def compile_with(backend):
    script = Path(__file__).with_name("compiled_ops.py")
    done = subprocess.run([sys.executable, script, backend], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torch_compile_makes_one_graph_with_the_same_derivatives():
    compile_with("aot_eager")


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs a host compiler")
def test_inductor_makes_one_graph_with_the_same_derivatives():
    compile_with("inductor")
