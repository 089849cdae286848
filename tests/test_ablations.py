"""Ablations on a world of noise: what is run, what is kept, what is said."""

import pandas as pd
import pytest
import torch
from made_frames import make_frames

from tests.controls.linear_world import SLIM
from xfer import ablations
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig, MotionEncoderConfig
from xfer.errors import BadValue, RunError
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.mapper import MapperConfig
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training.train_transfer import TRANSFER_PRESETS, TransferTraining

CODES = {"n_styles": 8, "w_dim": 6}


@pytest.fixture
def files(tmp_path, monkeypatch):
    tiny = TransferTraining(
        MotionEncoderConfig(**SLIM, **CODES, bottleneck=4, pool=4),
        MapperConfig("conditioned", **CODES, rank=2, gates=2), batch=4, tick_kimg=0.01,
    )  # fmt: skip
    monkeypatch.setitem(TRANSFER_PRESETS, "tiny", tiny)
    monkeypatch.setattr("xfer.evaluate.trials.compiler", lambda: None)
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(32, 6, 6, 1, channel_base=64, channel_max=8)).eval()
    inverter = IdentityEncoder(IdentityEncoderConfig(**SLIM, **CODES, rounds=1)).eval()
    reader = FactorReader(FactorReaderConfig(**SLIM)).eval()
    recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8)).eval()
    save = lambda network, name: network.save(tmp_path / f"{name}.safetensors")
    return {
        "clips": make_frames(tmp_path / "frames", size=32),
        "generator": save(generator, "g"),
        "inverter": save(inverter, "i"),
        "instruments": save(Instruments(reader, recogniser, "loss", {}), "loss"),
        "judges": save(Instruments(reader, recogniser, "judge", {}), "judge"),
    }


def test_every_variant_is_trained_and_judged_once(files, tmp_path, monkeypatch):
    asked = {"preset": "tiny", "kimg": 0.008, "seeds": 2, "people": 2} | files
    some = ["conditioned", "bottleneck 8", ablations.RIVAL]
    table = ablations.run_ablations(tmp_path / "out", variants=some, **asked)
    assert set(table["variant"]) == set(some) and set(table["seed"]) == {0, 1}
    assert {"yaw_deg_error", "psnr_face", "raw w: cosine", "inverted w: yaw_r"} <= set(
        table["metric"]
    )
    rival = set(table.loc[table["variant"] == ablations.RIVAL, "metric"])
    assert {"yaw_deg_error", "psnr_face"} <= rival and "raw w: cosine" not in rival
    for name in some:
        assert name in (tmp_path / "out" / "table.md").read_text()
    for name in ("train_transfer", "train_rival"):  # nothing is left to train
        monkeypatch.setattr(ablations, name, None)
    again = ablations.run_ablations(tmp_path / "out", variants=some, **asked)
    pd.testing.assert_frame_equal(again, table)
    with pytest.raises(RunError, match=r"kimg was 0\.008, not 8\.0"):
        ablations.run_ablations(tmp_path / "out", variants=some, **asked | {"kimg": 8.0})
    (tmp_path / "out" / "asked.json").unlink()
    with pytest.raises(RunError, match=r"should say what .* was made with"):
        ablations.run_ablations(tmp_path / "out", variants=some, **asked)
    with pytest.raises(BadValue, match="no variant"):
        ablations.run_ablations(tmp_path / "out", variants=["wishes"], **asked)


def test_seeds_are_averaged_with_their_ends():
    rows = [("a", seed, "m", value) for seed, value in enumerate((1.0, 2.0, 6.0))]
    table = pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])
    (row,) = ablations.over_seeds(table).itertuples(index=False)
    assert row == ("a", "m", 3.0, 1.0, 6.0)


def test_every_variant_is_a_setting_that_exists():
    from xfer.training import config

    for name, settings in ablations.VARIANTS.items():
        asked = config.parse_settings([*ablations.BASE, *settings])
        chosen = config.preset(TRANSFER_PRESETS, "nano", **asked)
        kind = "conditioned" if name.startswith("conditioned") else "affine"
        assert chosen.mapper.kind == kind, name


def test_a_variant_that_changes_nothing_is_not_trained_again():
    own = TRANSFER_PRESETS["small"].encoder.bottleneck
    everything = set(ablations.VARIANTS)
    assert set(ablations.differing("small")) == everything - {f"bottleneck {own}"}
    assert set(ablations.differing("nano")) == everything
    without = ablations.differing("nano", ["recolour=0.3", "encoder.bottleneck=8"])
    assert set(without) == everything - {"recoloured drivers", "bottleneck 8"}


def test_findings_name_what_lies_apart_and_in_which_direction():
    rows = [
        (variant, seed, metric, value + 0.1 * seed)
        for variant, metric, value in (
            ("base", "yaw_deg_error", 5.0), ("base", "jaw_r", 0.5), ("base", "psnr_face", 18.0),
            ("a", "yaw_deg_error", 4.0), ("a", "jaw_r", 0.1), ("a", "psnr_face", 18.05),
            ("b", "yaw_deg_error", 5.1), ("b", "jaw_r", 0.5), ("b", "psnr_face", 18.0),
        )
        for seed in range(3)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])
    assert ablations.findings(table) == [
        "a: better yaw_deg_error 4.1 against 5.1; worse jaw_r 0.2 against 0.6.",
        "b: not told from base.",
    ]
