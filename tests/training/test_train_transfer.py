"""The transfer learns to move people, resumes exactly, and touches nothing that is frozen."""

import dataclasses

import numpy as np
import pytest
import torch
from made_frames import make_frames
from two_processes import assert_two_equal_one

from xfer.encoders import (
    IdentityEncoder,
    IdentityEncoderConfig,
    MotionEncoder,
    MotionEncoderConfig,
)
from xfer.errors import BadValue
from xfer.instruments import (
    FaceRecogniser,
    FaceRecogniserConfig,
    FactorReader,
    FactorReaderConfig,
    Instruments,
)
from xfer.mapper import MapperConfig, build_mapper
from xfer.model import Transfer
from xfer.pixels import to_uint8
from xfer.rival import StyleSwap, is_rival
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training import transfer_recipes
from xfer.training.checkpoint import Checkpoints
from xfer.training.distributed import World
from xfer.training.frames import FrameArray
from xfer.training.train_rival import RivalTrainer, train_rival
from xfer.training.train_transfer import (
    TRANSFER_PRESETS,
    TransferTrainer,
    TransferTraining,
    face_crop,
    train_transfer,
)
from xfer.training.transfer_clips import PeopleCast, TransferClips

SLIM = {"resolution": 16, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}
CODES = {"n_styles": 6, "w_dim": 8}


def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig(16, 8, 8, 1, channel_base=64, channel_max=8))
        generator.w_mean.copy_(generator.estimate_w_mean(200)[0])
        recogniser = FaceRecogniser(FaceRecogniserConfig(**SLIM, embedding=8))
        reader = FactorReader(FactorReaderConfig(**SLIM)).eval()
        return generator.eval(), Instruments(reader, recogniser.eval(), "loss", {})


def clips():
    """Five people of four frames that the generator itself can draw: motion is a shift of w."""
    generator = networks()[0]
    rng = torch.Generator().manual_seed(0)
    people = torch.randn(5, 1, 8, generator=rng).repeat_interleave(4, 0)
    latents = (people + torch.randn(20, 1, 8, generator=rng)).repeat(1, 6, 1)
    with torch.no_grad():
        frames = to_uint8(generator.synthesis(latents))
    array = FrameArray(np.asarray(frames))
    return TransferClips(array, PeopleCast(array, np.arange(20) // 4), latents.numpy())


def tiny(steps, **changes):
    config = TransferTraining(
        MotionEncoderConfig(**SLIM, **CODES, bottleneck=4, pool=2),
        MapperConfig("conditioned", **CODES, rank=4, gates=4),
        batch=4, total_kimg=steps * 0.004, tick_kimg=0.04, save_kimg=0.02, learning_rate=3e-3,
        half="none",
    )  # fmt: skip
    return dataclasses.replace(config, **changes)


def run(config, folder):
    return list(train_transfer(config, clips(), *networks(), folder))


@pytest.fixture(scope="module")
def drawn():
    return clips().draw(0, 4, torch.device("cpu"))


def terms(drawn, **changes):
    trainer = TransferTrainer(tiny(1, **changes), *networks(), World())
    # Away from its start, where the mapper copies the identity whatever the driver does.
    torch.nn.init.normal_(trainer.networks["mapper"].draw, generator=torch.Generator())
    return trainer.loss(0, drawn)


def test_the_transfer_learns(tmp_path):
    records = run(tiny(60), tmp_path)
    assert records[-1]["pixels"] < 0.9 * records[0]["pixels"]


@pytest.mark.parametrize("optimiser", ["adamw", "ranger"])
def test_a_stopped_run_resumes_exactly(tmp_path, optimiser):
    for name, leaves in (("whole", (9,)), ("broken", (4, 9))):
        for steps in leaves:
            run(tiny(steps, optimiser=optimiser, contrastive=0.1), tmp_path / name)
    whole, broken = (
        Checkpoints(tmp_path / name).load_latest()[1]["networks"] for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_frozen_networks_stay_as_they_were(tmp_path):
    generator, measure = networks()
    frozen = (generator, measure.reader, measure.recogniser)
    values = lambda: [v.clone() for part in frozen for v in part.state_dict().values()]
    before = values()
    config = tiny(2, contrastive=0.1, motion=1.0)
    list(train_transfer(config, clips(), generator, measure, tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(before, values(), strict=True))


@pytest.mark.parametrize(
    "name", ["pixels", "perceptual_crop", "perceptual", "identity", "contrastive", "motion"]
)
def test_a_weight_of_zero_turns_off_its_term_alone(drawn, name):
    on = {"contrastive": 0.1, "motion": 0.5}
    loss, found = terms(drawn, **on)
    less, left = terms(drawn, **on | {name: 0.0})
    assert found.keys() - left.keys() == {name}
    assert all(torch.equal(found[key], value) for key, value in left.items())
    weight = getattr(tiny(1, **on), name)
    torch.testing.assert_close(loss - less, weight * found[name], atol=1e-5, rtol=1e-4)


def test_without_the_crop_only_the_terms_on_the_crop_change(drawn):
    (_, with_crop), (_, whole) = terms(drawn), terms(drawn, crop=False)
    changed = {name for name in with_crop if not torch.equal(with_crop[name], whole[name])}
    assert changed == {"pixels", "perceptual_crop"}
    torch.testing.assert_close(whole["perceptual_crop"], whole["perceptual"])


def test_without_other_people_the_terms_of_the_own_person_are_left(drawn):
    (_, both), (_, own) = terms(drawn, motion=1.0), terms(drawn, motion=1.0, cross_person=False)
    assert both.keys() - own.keys() == {"identity", "motion"}
    for name, value in own.items():
        torch.testing.assert_close(value, both[name])


def test_the_margin_makes_the_contrastive_term_harder(drawn):
    without, with_margin = (
        terms(drawn, contrastive=1.0, margin=margin)[1]["contrastive"] for margin in (0.0, 0.3)
    )
    assert with_margin > without


def test_a_driver_meets_another_frame_of_itself_and_another_person():
    found = clips()
    people, seen = np.arange(20) // 4, set()
    for step in range(40):
        items = found.items(step, 4)
        for driver, identity, other in zip(*items, strict=True):
            assert people[driver] == people[identity] and driver != identity
            assert people[driver] != people[other]
            seen |= {(driver, identity), (driver, other)}
    assert found.items(7, 4) == clips().items(7, 4)
    assert len({a for a, _ in seen}) == 20 and len(seen) > 150


def test_people_in_any_order_are_told_apart():
    found = clips()
    mixed = PeopleCast(found.frames, np.arange(20) % 5)
    for driver, identity, other in zip(*mixed.items(0, 20), strict=True):
        assert driver % 5 == identity % 5 != other % 5 and driver != identity


def test_a_person_who_is_seen_once_is_refused():
    found = clips()
    with pytest.raises(BadValue, match="at least two frames"):
        PeopleCast(found.frames, [0] * 19 + [1])


def test_the_crop_is_the_papers():
    image = torch.zeros(1, 3, 256, 256)
    image[:, :, 55:243, 32:220] = 1
    assert face_crop(image).shape == (1, 3, 188, 188) and face_crop(image).min() == 1
    assert face_crop(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 47, 47)


def test_the_papers_preset_is_the_papers_scheme():
    """Sizes and numbers of Jahoda and Cech (2024); the mapper has 169.9 M parameters."""
    paper = TRANSFER_PRESETS["paper"]
    assert (paper.encoder.resolution, paper.encoder.blocks) == (256, (3, 4, 14, 3))
    assert (paper.batch, paper.total_kimg, paper.learning_rate) == (4, 2000, 1e-4)
    assert (paper.optimiser, paper.mapper.init) == ("ranger", "paper")
    weights = (paper.pixels, paper.perceptual_crop, paper.perceptual, paper.identity)
    assert weights == (2.0, 0.3, 0.05, 0.3) and paper.contrastive == 0
    with torch.device("meta"):
        affine = build_mapper(paper.mapper)
        ours = build_mapper(MapperConfig("conditioned"))
    count = lambda network: sum(p.numel() for p in network.parameters())
    assert round(count(affine) / 1e6, 1) == 169.9
    assert count(ours) < 5e6


def test_presets_and_wrong_settings():
    assert [p.encoder.bottleneck for p in TRANSFER_PRESETS.values()] == [16, 32, 128, 512]
    for wrong, told in (
        ({"optimiser": "sgd"}, "adamw or ranger"),
        ({"identity": -1.0}, "identity is at least 0"),
        ({"pixels": 0.0, "perceptual_crop": 0.0, "perceptual": 0.0}, "nothing else teaches"),
        ({"mapper": MapperConfig("affine", 7, 8)}, "equal codes"),
    ):
        with pytest.raises(BadValue, match=told):
            tiny(1, **wrong)
    with pytest.raises(BadValue, match="look is both, reader, recogniser"):
        TransferTrainer(tiny(1, look="mirror"), *networks(), World())


def test_both_looks_are_the_mean_of_each(drawn):
    """Both networks have as many layers here, and feature distances are means over layers."""
    both, reader, recogniser = (
        terms(drawn, look=name)[1]["perceptual"] for name in ("both", "reader", "recogniser")
    )
    assert reader != recogniser
    torch.testing.assert_close(both, (reader + recogniser) / 2)


def test_recolouring_hides_the_driver_s_colours_and_changes_no_target(drawn):
    trainer = TransferTrainer(tiny(1, recolour=0.3), *networks(), World())
    first, again, later = (trainer.recoloured(step, drawn.driver) for step in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, later)
    mean, shown = drawn.driver.mean((2, 3)), first.mean((2, 3))
    assert (mean - shown).abs().min() > 0
    # Every channel is an affine image of itself: what there is to see stays to be seen.
    a, b = (x.flatten(2) - x.flatten(2).mean(2, keepdim=True) for x in (drawn.driver, first))
    torch.testing.assert_close((a * b).sum(2), a.norm(dim=2) * b.norm(dim=2))
    plain = TransferTrainer(tiny(1), *networks(), World())
    assert plain.recoloured(3, drawn.driver) is drawn.driver


def test_a_new_run_begins_with_the_networks_that_it_is_given():
    config = tiny(1)
    given = {"motion_encoder": MotionEncoder(config.encoder), "mapper": build_mapper(config.mapper)}
    trainer = TransferTrainer(config, *networks(), World(), given)
    for name, network in given.items():
        found = trainer.networks[name].state_dict()
        assert all(torch.equal(v, found[key]) for key, v in network.state_dict().items())


def test_half_precision_changes_the_terms_but_little(drawn):
    exact, half = (terms(drawn, half=half)[1] for half in ("none", "bfloat16"))
    for name, value in exact.items():
        torch.testing.assert_close(half[name], value, atol=0.02, rtol=0.02)
        assert half[name].dtype == torch.float32


def test_the_recipe_writes_a_model_and_a_sheet(tmp_path, monkeypatch):
    generator, measure = networks()
    monkeypatch.setitem(TRANSFER_PRESETS, "tiny", tiny(6))
    with torch.random.fork_rng():
        inverter = IdentityEncoder(IdentityEncoderConfig(**SLIM, **CODES, rounds=1))
    files = {
        "generator": generator.save(tmp_path / "g.safetensors"),
        "inverter": inverter.save(tmp_path / "i.safetensors"),
        "instruments": measure.save(tmp_path / "m.safetensors"),
    }
    folder, out = make_frames(tmp_path / "frames"), tmp_path / "run"
    settings = ["mapper.kind=affine", "motion=0.1", "tick_kimg=0.008"]
    path = transfer_recipes.train_transfer(
        out, folder, **files, preset="tiny", settings=settings, device="cpu"
    )
    model = Transfer.load(path)
    picture = model.transfer(torch.zeros(2, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    assert path.name == "transfer.safetensors" and picture.shape == (2, 3, 16, 16)
    assert list((out / "sheets").glob("*.png"))
    same = zip(model.generator.parameters(), generator.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert transfer_recipes._begun(path, "affine").keys() == {"motion_encoder", "mapper"}
    assert transfer_recipes._begun(path, "conditioned").keys() == {"motion_encoder"}


def test_the_rival_learns_on_the_same_clips(tmp_path):
    config = tiny(60, recolour=0.2)
    records = list(train_transfer(config, clips(), *networks(), tmp_path, None, RivalTrainer))
    assert records[-1]["pixels"] < 0.9 * records[0]["pixels"]


def test_the_rival_s_recipe_writes_its_file_and_resumes_exactly(tmp_path, monkeypatch):
    generator, measure = networks()
    monkeypatch.setitem(TRANSFER_PRESETS, "tiny", tiny(40))
    with torch.random.fork_rng():
        inverter = IdentityEncoder(IdentityEncoderConfig(**SLIM, **CODES, rounds=1))
    files = {
        "generator": generator.save(tmp_path / "g.safetensors"),
        "inverter": inverter.save(tmp_path / "i.safetensors"),
        "instruments": measure.save(tmp_path / "m.safetensors"),
    }
    folder = make_frames(tmp_path / "frames")

    def train(name, *settings):
        return train_rival(tmp_path / name, folder, **files, preset="tiny", settings=settings)

    path = train("whole")
    assert is_rival(path) and StyleSwap.load(path).mask.config.channels > 0
    train("broken", "total_kimg=0.06")
    again = train("broken")
    states = [StyleSwap.load(p).mask.state_dict() for p in (path, again)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    with pytest.raises(BadValue, match="no motion codes"):
        train("wrong", "contrastive=0.1")


def train_some(folder, world):
    generator, measure = networks()
    parts = (generator.double(), *(part.double() for part in measure[:2]))
    frozen = parts[0], Instruments(*parts[1:], "loss", {})
    config = tiny(20, half="none", recolour=0.2, contrastive=0.1, motion=0.1)
    list(train_transfer(config, clips(), *frozen, folder, world))


def test_two_processes_equal_one(tmp_path):
    assert_two_equal_one(train_some, tmp_path, "networks")
