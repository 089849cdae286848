"""Files of the public layouts in other sizes: widths are read off the tensors, numbers agree."""

import pytest
import torch
from by_rule import assert_agree, given, rosinality_generator, state
from encoder_rule import encoder_state, prefixed
from plain_encoders import (
    embedding,
    motion_code,
    motion_shapes,
    offsets,
    recogniser_shapes,
    restyle_shapes,
)

from xfer.encoders import IdentityEncoder, MotionEncoder
from xfer.errors import BadFile
from xfer.instruments import FaceRecogniser
from xfer.model import Transfer

SIZES = [((8, 12, 16, 20), (1, 2, 1, 1)), ((8, 16, 24, 32), (2, 1, 2, 1)), ((4, 8, 12), (1, 1, 2))]


@pytest.mark.parametrize("n_styles", [8, 10, 14, 18])
@pytest.mark.parametrize(("channels", "blocks"), SIZES)
@torch.no_grad()
def test_motion_encoders_of_any_size(n_styles, channels, blocks, tmp_path):
    tensors = encoder_state(motion_shapes(channels, blocks, n_styles, 24))
    torch.save({"state_dict": prefixed("encoder", tensors)}, tmp_path / "m.pt")
    encoder = MotionEncoder.load(tmp_path / "m.pt")
    assert (encoder.config.n_styles, encoder.config.w_dim) == (n_styles, 24)
    assert (encoder.config.channels, encoder.config.blocks) == (channels, blocks)
    image = 0.5 * given(n_styles, (2, 3, 256, 256))
    assert_agree(encoder(image).flatten(1), motion_code(tensors, blocks, image))


@pytest.mark.parametrize(("n_styles", "halvings"), [(10, 2), (14, 3), (18, 4)])
@torch.no_grad()
def test_inverters_of_any_size(n_styles, halvings, tmp_path):
    channels, blocks = SIZES[0]
    tensors = encoder_state(restyle_shapes(channels, blocks, n_styles, 24, halvings))
    mean = given(3, (24,))
    torch.save({"state_dict": prefixed("encoder", tensors), "latent_avg": mean}, tmp_path / "i.pt")
    encoder = IdentityEncoder.load(tmp_path / "i.pt")
    edge = 16 << halvings
    assert (encoder.config.n_styles, encoder.config.resolution) == (n_styles, edge)
    assert torch.equal(encoder.latent_mean, mean.expand(n_styles, 24))
    pair = 0.5 * given(n_styles, (2, 6, edge, edge))
    assert_agree(encoder(pair[:, :3], pair[:, 3:]), offsets(tensors, blocks, n_styles, pair))


@torch.no_grad()
def test_recognisers_of_any_size(tmp_path):
    channels, blocks = SIZES[0]
    tensors = encoder_state(recogniser_shapes(channels, blocks, 4, 9))
    torch.save(tensors, tmp_path / "r.pth")
    recogniser = FaceRecogniser.load(tmp_path / "r.pth")
    assert recogniser.config.resolution == 64
    image = 0.5 * given(8, (3, 3, 64, 64))
    assert_agree(recogniser(image), embedding(tensors, blocks, image))
    # Larger pictures are brought down by the mean of each square of pixels.
    assert_agree(
        recogniser(image.repeat_interleave(3, 2).repeat_interleave(3, 3)), recogniser(image)
    )


def test_an_inverter_of_single_pictures_is_refused(tmp_path):
    shapes = restyle_shapes(*SIZES[0], 4, 24, 2) | {"input_layer.0.weight": [8, 3, 3, 3]}
    torch.save({"state_dict": prefixed("encoder", encoder_state(shapes))}, tmp_path / "psp.pt")
    with pytest.raises(BadFile, match=r"picture and its reconstruction, 6 channels; got 3"):
        IdentityEncoder.load(tmp_path / "psp.pt")


@torch.no_grad()
def test_the_paper_s_model_takes_photos_with_a_restyle_file_beside_it(tmp_path):
    channels, blocks = SIZES[0]
    motion = encoder_state(motion_shapes(channels, blocks, 6, 512))
    mapping = {"linear_relu.0.weight": [3072, 6144], "linear_relu.0.bias": [3072]}
    restyle = encoder_state(restyle_shapes(channels, blocks, 6, 512, 2))
    tensors = (
        prefixed("encoder", motion)
        | encoder_state(prefixed("mapping_net", mapping))
        | prefixed("decoder", state(rosinality_generator(16, top=8)))
    )
    torch.save({"state_dict": tensors}, tmp_path / "best_model.pt")
    mean = given(5, (6, 512))
    torch.save({"state_dict": prefixed("encoder", restyle), "latent_avg": mean}, tmp_path / "r.pt")
    model = Transfer.load(tmp_path / "best_model.pt", tmp_path / "r.pt")

    photo, driver = 0.5 * given(6, (1, 3, 64, 64)), 0.5 * given(7, (1, 3, 256, 256))
    latent = mean[None]
    for _ in range(5):
        drawn = model.generator.synthesis(latent)
        repeated = drawn.repeat_interleave(4, 2).repeat_interleave(4, 3)
        pair = torch.cat([photo, repeated], dim=1)
        latent = latent + offsets(restyle, blocks, 6, pair)
    code = motion_code(motion, blocks, driver)
    both = torch.cat([latent.flatten(1), code], dim=1)
    named = prefixed("mapping_net", mapping)
    weight, bias = encoder_state(named).values()
    moved = (both @ weight.T + bias).view(1, 6, 512)
    assert_agree(model.transfer(driver, photo), model.generator.synthesis(moved))
