"""The FFHQ crop against a face whose crop is known by hand."""

import torch

from xfer.crop import crop_to_picture, ffhq_crop, picture_to_crop


def face(eye_y=100.0, mouth_y=160.0, half_eyes=30.0):
    """Landmarks at the origin but for the eyes' points and the mouth's corners."""
    points = torch.zeros(1, 68, 2)
    points[:, 36:42] = torch.tensor([-half_eyes, eye_y])
    points[:, 42:48] = torch.tensor([half_eyes, eye_y])
    points[:, 48] = torch.tensor([-20.0, mouth_y])
    points[:, 54] = torch.tensor([20.0, mouth_y])
    return points


def test_an_upright_face_gives_an_upright_square_of_four_eye_distances():
    crop = ffhq_crop(face())
    torch.testing.assert_close(crop.center, torch.tensor([[0.0, 106.0]]))
    torch.testing.assert_close(crop.half, torch.tensor([[120.0, 0.0]]))
    torch.testing.assert_close(crop.side, torch.tensor([240.0]))


def test_a_long_face_is_measured_from_eyes_to_mouth():
    crop = ffhq_crop(face(mouth_y=300.0))
    torch.testing.assert_close(crop.half, torch.tensor([[360.0, 0.0]]))


def test_turning_the_picture_turns_the_crop():
    angle = torch.tensor(0.3)
    turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    crop = ffhq_crop(face() @ turn.T)
    torch.testing.assert_close(crop.roll_deg, torch.rad2deg(angle)[None])
    torch.testing.assert_close(crop.half, ffhq_crop(face()).half @ turn.T)


def test_going_into_the_crop_and_back_changes_nothing():
    crop = ffhq_crop(face() + torch.randn(1, 68, 2, generator=torch.Generator().manual_seed(0)))
    points = torch.rand(1, 9, 2) * 300
    torch.testing.assert_close(crop_to_picture(crop, picture_to_crop(crop, points)), points)
    corner = crop_to_picture(crop, torch.tensor([[[1.0, 1.0]]]))
    torch.testing.assert_close(corner[:, 0], crop.center + crop.half + crop.down)
