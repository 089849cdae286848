"""The two copies of the instruments cannot take each other's place."""

import ast
from pathlib import Path

import pytest
import torch

from xfer.errors import BadFile
from xfer.files import read_checkpoint
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
    load_instruments,
)

SLIM = {"resolution": 16, "channels": (4, 8), "blocks": (1, 1), "reduction": 4}


@pytest.fixture(params=["loss", "judge"])
def written(request, tmp_path):
    torch.manual_seed(0)
    reader = FactorReader(FactorReaderConfig(**SLIM, hidden=8)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    path = tmp_path / f"{request.param}.safetensors"
    Instruments(reader, recogniser, request.param, {"yaw_deg_error": 1.25}).save(path)
    return request.param, path, reader


def test_a_copy_comes_back_with_its_errors(written):
    copy, path, reader = written
    found = load_instruments(path, copy)
    image = torch.randn(2, 3, 16, 16)
    assert found.copy == copy and found.errors == {"yaw_deg_error": 1.25}
    assert torch.equal(found.reader(image)[1], reader(image)[1])


def test_the_other_copy_is_refused(written):
    copy, path, _ = written
    other = {"loss": "judge", "judge": "loss"}[copy]
    with pytest.raises(BadFile, match=f"holds the {copy} copy.*the {other} copy is needed"):
        load_instruments(path, other)


def test_a_file_without_a_copy_is_refused(tmp_path):
    reader = FactorReader(FactorReaderConfig(**SLIM, hidden=8))
    path = reader.save(tmp_path / "reader.safetensors")
    with pytest.raises(BadFile, match="holds no instruments"):
        load_instruments(path, "judge")


def test_training_asks_for_the_loss_copy_only_and_evaluation_for_judges_only():
    package = Path(__file__).parents[1] / "xfer"
    asked = {"loss": [], "judge": []}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and "load_instruments" in ast.unparse(node.func):
                copy = node.args[1]
                if path.name == "instrument_recipes.py":  # trains either copy, from its like
                    assert ast.unparse(copy) == "copy"
                    continue
                assert isinstance(copy, ast.Constant), f"{path}: say which copy in so many words"
                asked[copy.value].append(path.relative_to(package))
    assert {path.parts[0] for path in asked["loss"]} == {"training"}
    # Controls are learned with the loss copy; what they do is then measured by the judge.
    measuring = {path.name for path in asked["judge"] if path.parts[0] == "training"}
    assert measuring <= {"train_controls.py"}


def test_the_shipped_copies_have_seen_different_people():
    loss = load_instruments("small-instruments", "loss")
    judge = load_instruments("small-judges", "judge")
    seeds = {
        copy.copy: read_checkpoint(name).facts["trained_on"]["seed"]
        for copy, name in ((loss, "small-instruments"), (judge, "small-judges"))
    }
    assert seeds["loss"] != seeds["judge"]
    assert judge.errors["recogniser_auc"] >= 0.98


def test_half_precision_leaves_statistics_of_norms_alone(tmp_path):
    reader = FactorReader(FactorReaderConfig(**SLIM, hidden=8))
    reader.backbone.stem[1].running_var.fill_(1e9)  # more than float16 can hold
    found = FactorReader.load(reader.save(tmp_path / "r.safetensors", dtype=torch.float16))
    assert found.backbone.stem[1].running_var[0] == 1e9
