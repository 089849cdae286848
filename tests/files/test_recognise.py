"""Files of every public layout are told apart by what is in them, whole or in part."""

import pytest
import torch
from by_rule import KEYS, rosinality_discriminator, rosinality_generator, state
from safetensors.torch import save_file

from xfer.errors import BadFile
from xfer.files import read_checkpoint

GENERATOR = state(rosinality_generator(16, styles=12, mapping=2, top=6))
CRITIC = state(rosinality_discriminator(16, top=6))
MEAN = torch.arange(12.0)


def named(layout: str) -> dict[str, torch.Tensor]:
    """Every name of a public network, tiny tensors."""
    return {name: torch.ones([1] * len(shape)) for name, shape in KEYS[layout].items()}


def under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


MOTION, MAPPER = named("reference_motion_encoder"), named("reference_mapping_net")
IDENTITY, ARCFACE = named("restyle_psp_encoder"), named("arcface_ir_se50")

FILES = {
    "rosinality, all": (
        {"g": GENERATOR, "d": CRITIC, "g_ema": GENERATOR, "latent_avg": MEAN, "args": {"x": 1}},
        "rosinality",
        {"generator", "generator_raw", "discriminator"},
    ),
    "rosinality, average only": ({"g_ema": GENERATOR}, "rosinality", {"generator"}),
    "rosinality, raw only": ({"g": GENERATOR}, "rosinality", {"generator_raw"}),
    "rosinality, critic only": ({"d": CRITIC}, "rosinality", {"discriminator"}),
    "rosinality, bare": (GENERATOR, "rosinality", {"generator"}),
    "rosinality, from several devices": (
        {"g_ema": under("module", GENERATOR)},
        "rosinality",
        {"generator"},
    ),
    "ReStyle": (
        {
            "state_dict": under("encoder", IDENTITY) | under("decoder", GENERATOR),
            "latent_avg": MEAN.expand(6, 12).clone(),
            "opts": {"n_iters_per_batch": 5},
        },
        "psp",
        {"identity_encoder", "generator"},
    ),
    "ReStyle, encoder only": (
        {"state_dict": under("encoder", IDENTITY)},
        "psp",
        {"identity_encoder"},
    ),
    "ReStyle, no wrapping": (under("encoder", IDENTITY), "psp", {"identity_encoder"}),
    "ReStyle, bare": (IDENTITY, "psp", {"identity_encoder"}),
    "the paper": (
        {
            "state_dict": under("encoder", MOTION)
            | under("mapping_net", MAPPER)
            | under("decoder", GENERATOR),
            "opts": {"lr": 1e-4},
        },
        "paper",
        {"motion_encoder", "mapper", "generator"},
    ),
    "the paper, no decoder": (
        {"state_dict": under("encoder", MOTION) | under("mapping_net", MAPPER)},
        "paper",
        {"motion_encoder", "mapper"},
    ),
    "the paper, decoder only": (
        {"state_dict": under("decoder", GENERATOR)},
        "rosinality",
        {"generator"},
    ),
    "motion encoder, bare": (MOTION, "paper", {"motion_encoder"}),
    "mapper, bare": (MAPPER, "paper", {"mapper"}),
    "ArcFace": (ARCFACE, "arcface", {"face_recogniser"}),
    "NVlabs, bare": (named("nvlabs_generator_32"), "nvlabs", {"generator"}),
    "NVlabs, critic, bare": (named("nvlabs_discriminator_32"), "nvlabs", {"discriminator"}),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_what_it_holds(name, zipped, tmp_path):
    content, layout, roles = FILES[name]
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(tmp_path / "x.pt")
    assert (checkpoint.layout, checkpoint.networks.keys()) == (layout, roles)
    if "generator" in roles and layout != "nvlabs":
        found = checkpoint.networks["generator"].tensors
        assert found.keys() == GENERATOR.keys()
        assert all(torch.equal(found[key], GENERATOR[key]) for key in GENERATOR)


def test_what_stands_beside_the_networks_is_kept(tmp_path):
    content = FILES["ReStyle"][0]
    torch.save(content, tmp_path / "x.pt")
    facts = read_checkpoint(tmp_path / "x.pt").facts
    assert facts["opts"] == {"n_iters_per_batch": 5}
    assert torch.equal(facts["latent_avg"], content["latent_avg"])


def test_safetensors_of_others_are_known_by_their_names(tmp_path):
    save_file(GENERATOR, tmp_path / "g.safetensors")
    checkpoint = read_checkpoint(tmp_path / "g.safetensors")
    assert checkpoint.networks["generator"].layout == "rosinality"


@pytest.mark.parametrize(
    "content", [[1, 2], torch.ones(3), {}, {"state_dict": {}}, {"g_ema": {}}, {1: 2}, "text", None]
)
def test_a_file_without_networks_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(BadFile):
        read_checkpoint(tmp_path / "x.pt")


def test_the_raw_generator_serves_where_there_is_no_average(tmp_path):
    torch.save({"g": GENERATOR}, tmp_path / "x.pt")
    assert read_checkpoint(tmp_path / "x.pt").pick("generator").role == "generator_raw"
    with pytest.raises(BadFile, match="should hold a mapper; it holds: generator raw"):
        read_checkpoint(tmp_path / "x.pt").pick("mapper")
