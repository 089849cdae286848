"""Perceptual features and distance: EfficientNet-lite0, trained on ImageNet.

The network is Tan and Le's ("EfficientNet", 2019) without squeeze-excitation; weights are the asset
`efficientnet-lite0` (Apache-2.0). The distance is LPIPS' without its learned weights (Zhang et al.,
"The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xfer.assets import asset_path
from xfer.landmarker import LandmarkerTwin
from xfer.shapes import Image

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of the 16 blocks: widening 1 x 1, depthwise and narrowing 1 x 1 convolution."""
STAGE_ENDS = (0, 2, 4, 10, 15)
"""The last block at each size: 1/2 of the image with 16 channels, then 24, 40, 112, 320."""
FACE = (slice(76, 226), slice(53, 203))
"""Rows and columns of an aligned image of 256 px from brows to chin."""


class PerceptualFeatures(nn.Module):
    """Features of images at five sizes, and how differently two images look."""

    def __init__(self):
        super().__init__()
        state = torch.load(asset_path("efficientnet-lite0"), map_location="cpu", weights_only=True)
        layers = [folded(state, "_conv_stem", "_bn0", stride=2)]
        for index, stride in enumerate(STRIDES):
            name = f"_blocks.{index}."
            if index > 0:  # the first block does not widen its input
                layers.append(folded(state, f"{name}_expand_conv", f"{name}_bn0"))
            layers.append(folded(state, f"{name}_depthwise_conv", f"{name}_bn1", stride))
            layers.append(folded(state, f"{name}_project_conv", f"{name}_bn2"))
        layers.append(folded(state, "_conv_head", "_bn1"))
        self.convolutions = nn.ModuleList(layers)
        self.classifier = nn.Linear(1280, 1000)
        self.classifier.load_state_dict({k: state[f"_fc.{k}"] for k in ("weight", "bias")})
        self.eval().requires_grad_(False)

    def stages(self, image: Image) -> list[Tensor]:
        """Outputs of the five stages, each half the size of the one before."""
        layers = iter(self.convolutions)
        x, out = F.relu6(next(layers)(image)), []
        for index in range(len(STRIDES)):
            start = x
            if index > 0:
                x = F.relu6(next(layers)(x))
            depthwise, narrow = next(layers), next(layers)
            x = narrow(F.relu6(depthwise(x)))
            if x.shape == start.shape:
                x = x + start
            if index in STAGE_ENDS:
                out.append(x)
        return out

    def distance(self, a: Image | list[Tensor], b: Image | list[Tensor]) -> Float[Tensor, " batch"]:
        """0 for equal images; the sum over stages of the squared distance of unit features.

        Args:
            a: Images, or their `stages` where these are needed more than once; so is `b`.
        """
        a, b = (self.stages(x) if isinstance(x, Tensor) else x for x in (a, b))
        unit = lambda features: F.normalize(features, dim=1)
        return sum(
            (unit(x) - unit(y)).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)
        )

    def classify(self, image: Image) -> Float[Tensor, "batch 1000"]:
        """Probabilities of ImageNet's classes, for images of about 224 px."""
        x = F.relu6(self.convolutions[-1](self.stages(image)[-1]))
        return self.classifier(x.mean((2, 3))).softmax(1)


class FaceFeatures(nn.Module):
    """An aligned image as networks see it that were trained on other things: perceptual features
    of the whole and of the face alone, their colours, landmarks and blendshapes."""

    size = 12_832
    GRIDS = ((6, 3, 2, 12), (8, 4, 3, 12))
    """Edges that the last three stages and the colours are averaged to."""

    def __init__(self):
        super().__init__()
        self.perceptual, self.landmarker = PerceptualFeatures(), LandmarkerTwin()

    def forward(self, image: Image) -> Float[Tensor, "batch 12832"]:
        """Of aligned images of 256 px."""
        face = F.interpolate(image[:, :, *FACE], (192, 192), mode="bilinear", antialias=True)
        found = []
        for view, grids in zip((image, face), self.GRIDS, strict=True):
            stages = [*self.perceptual.stages(view)[-3:], view]
            found += [F.adaptive_avg_pool2d(x, n) for x, n in zip(stages, grids, strict=True)]
        points, blendshapes = self.landmarker(image)
        return torch.cat([x.flatten(1) for x in (*found, points[..., :2], blendshapes)], 1)


class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow does: more at the lower and right edges."""

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return super().forward(x)
        height, width = (self.kernel_size[0] - 2 + n % 2 for n in x.shape[2:])
        pads = width // 2, width - width // 2, height // 2, height - height // 2
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, groups=self.groups)


def folded(state: dict, conv: str, norm: str, stride: int = 1) -> SameConvolution:
    """A convolution with its batch normalisation folded into it."""
    weight = state[f"{conv}.weight"]
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-3).sqrt()
    out, per_group, kernel, _ = weight.shape
    groups = out if per_group == 1 and kernel > 1 else 1
    layer = SameConvolution(per_group * groups, out, kernel, stride, kernel // 2, groups=groups)
    layer.weight.data = weight * scale[:, None, None, None]
    layer.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return layer
