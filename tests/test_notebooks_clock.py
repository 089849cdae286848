"""What is kept of how long notebooks took."""

import pytest

from xfer.errors import MissingFile
from xfer.notebooks.clock import main
from xfer.runs import environment, read_json, write_json


def ran(results, name, seconds, exit_code=0, **parameters):
    told = {"parameters": parameters, "exit_code": exit_code, "seconds": seconds}
    (results / name).mkdir(parents=True)
    write_json(results / name / "run.json", told | environment())


def test_seconds_are_kept_by_preset_and_renewed(tmp_path):
    kept = tmp_path / "kept.json"
    ran(tmp_path / "a", "00_one", 10.0, preset="nano")
    ran(tmp_path / "a", "01_two", 20.0)
    ran(tmp_path / "a", "02_failed", 30.0, exit_code=1)
    ran(tmp_path / "b", "00_one", 11.0, preset="small")
    main([str(tmp_path / "a")], kept)
    seconds = {preset: found["seconds"] for preset, found in read_json(kept).items()}
    assert seconds == {"nano": {"00_one": 10.0}, "small": {"01_two": 20.0}}
    main([str(tmp_path / "b")], kept)
    assert read_json(kept)["small"]["seconds"] == {"00_one": 11.0}
    assert read_json(kept)["nano"]["machine"] == environment()["machine"]


def test_a_folder_without_finished_notebooks_is_refused(tmp_path):
    with pytest.raises(MissingFile, match="no finished notebooks"):
        main([str(tmp_path)], tmp_path / "kept.json")
