"""Tensor names of StyleGAN2 in the public layouts: ours -> theirs.

Layers are numbered in the order of drawing: layer 0 at 4 px, then two for every resolution. The
discriminator's blocks go from the highest resolution down.
"""

Names = dict[str, str]


def rosinality_generator(layers: int, mapping: int) -> Names:
    names = {"const": "input.input"}
    for i in range(mapping):
        names |= _under(f"mapping.layers.{i}", f"style.{i + 1}", "weight", "bias")
    for i in range(layers):
        theirs = f"convs.{i - 1}" if i else "conv1"
        names |= _under(f"layers.{i}.affine", f"{theirs}.conv.modulation", "weight", "bias")
        names |= {
            f"layers.{i}.weight": f"{theirs}.conv.weight",
            f"layers.{i}.bias": f"{theirs}.activate.bias",
            f"layers.{i}.noise_strength": f"{theirs}.noise.weight",
            f"layers.{i}.noise": f"noises.noise_{i}",
        }
    for i in range((layers + 1) // 2):
        theirs = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        names |= _under(f"to_rgb.{i}.affine", f"{theirs}.conv.modulation", "weight", "bias")
        names |= {
            f"to_rgb.{i}.weight": f"{theirs}.conv.weight",
            f"to_rgb.{i}.bias": f"{theirs}.bias",
        }
    return names


def nvlabs_generator(layers: int, mapping: int) -> Names:
    names = {"const": "synthesis.b4.const", "w_mean": "mapping.w_avg"}
    for i in range(mapping):
        names |= _under(f"mapping.layers.{i}", f"mapping.fc{i}", "weight", "bias")
    for i in range(layers):
        theirs = f"synthesis.b{4 << (i + 1) // 2}.conv{(i + 1) % 2}"
        names |= _under(f"layers.{i}.affine", f"{theirs}.affine", "weight", "bias")
        names |= _under(f"layers.{i}", theirs, "weight", "bias", "noise_strength")
        names[f"layers.{i}.noise"] = f"{theirs}.noise_const"
    for i in range((layers + 1) // 2):
        theirs = f"synthesis.b{4 << i}.torgb"
        names |= _under(f"to_rgb.{i}.affine", f"{theirs}.affine", "weight", "bias")
        names |= _under(f"to_rgb.{i}", theirs, "weight", "bias")
    return names


def rosinality_discriminator(blocks: int) -> Names:
    names = {"from_rgb.weight": "convs.0.0.weight", "from_rgb.bias": "convs.0.1.bias"}
    for i in range(blocks):
        theirs = f"convs.{i + 1}"
        names |= {
            f"blocks.{i}.conv0.weight": f"{theirs}.conv1.0.weight",
            f"blocks.{i}.conv0.bias": f"{theirs}.conv1.1.bias",
            f"blocks.{i}.conv1.weight": f"{theirs}.conv2.1.weight",
            f"blocks.{i}.conv1.bias": f"{theirs}.conv2.2.bias",
            f"blocks.{i}.skip.weight": f"{theirs}.skip.1.weight",
        }
    names |= {"conv.weight": "final_conv.0.weight", "conv.bias": "final_conv.1.bias"}
    names |= _under("linear", "final_linear.0", "weight", "bias")
    return names | _under("out", "final_linear.1", "weight", "bias")


def nvlabs_discriminator(blocks: int) -> Names:
    names = _under("from_rgb", f"b{4 << blocks}.fromrgb", "weight", "bias")
    for i in range(blocks):
        theirs = f"b{4 << blocks - i}"
        for part in ("conv0", "conv1"):
            names |= _under(f"blocks.{i}.{part}", f"{theirs}.{part}", "weight", "bias")
        names |= _under(f"blocks.{i}.skip", f"{theirs}.skip", "weight")
    for ours, theirs in {"conv": "b4.conv", "linear": "b4.fc", "out": "b4.out"}.items():
        names |= _under(ours, theirs, "weight", "bias")
    return names


def _under(ours: str, theirs: str, *parts: str) -> Names:
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in parts}
