"""Perceptual and contrastive losses by hand; feature networks on torchvision's own layers and files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from models.feature_nets import FEATURE_NETS, feature_net, identity_of
from models.losses import LOSSES


def two_maps(images: Tensor) -> list[Tensor]:
    return [images, images.mean(dim=(2, 3)) * 2]


def test_perceptual_by_hand() -> None:
    restored, sharp = torch.zeros(1, 1, 1, 2), torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)
    assert float(LOSSES["perceptual"](restored, sharp)) == pytest.approx((1 + 9) / 2)
    value = LOSSES["perceptual"](restored, sharp, two_maps, weights=(0.5, 2.0), distance="l1")
    assert float(value) == pytest.approx(0.5 * (1 + 3) / 2 + 2 * 4)
    with pytest.raises(ValueError, match="one weight per feature map is needed: 2 maps, 1 weights"):
        LOSSES["perceptual"](restored, sharp, two_maps)


def test_contrastive_by_hand() -> None:
    restored, sharp = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 5.0)
    negatives = [torch.full((1, 1, 1, 1), 0.0), torch.full((1, 1, 1, 1), -2.0)]  # 2 and 4 away: mean 3
    assert float(LOSSES["contrastive"](restored, sharp, negatives[0])) == pytest.approx(3 / 2)
    assert float(LOSSES["contrastive"](restored, sharp, negatives)) == pytest.approx(3 / 3)
    value = LOSSES["contrastive"](restored, sharp, negatives, two_maps, weights=(1.0, 0.25))
    assert float(value) == pytest.approx(1 + 0.25)
    with pytest.raises(ValueError, match="at least one negative"):
        LOSSES["contrastive"](restored, sharp, [])


def test_gradients_reach_the_restored_image_only() -> None:
    restored, sharp, negative = (torch.rand(1, 3, 8, 8, requires_grad=True) for _ in range(3))
    net = feature_net("random", ["relu1_2", "conv2_1"], None)
    loss = LOSSES["perceptual"](restored, sharp, net, weights=(1, 1))
    (loss + LOSSES["contrastive"](restored, sharp, negative, net, weights=(1, 1))).backward()
    assert float(restored.grad.abs().sum()) > 0 and sharp.grad is None and negative.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())


def normalised(images: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)


def random_file(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = {key: torch.randn(shape) / max(1, shape[0]) for key, shape in shapes.items()}
    save_file({f"features.{key}": value for key, value in state.items()}, path)
    return state


def test_vgg19_from_a_file(tmp_path: Path) -> None:
    """torchvision's keys, ImageNet's normalisation, conv1_2 before and relu1_2 after the activation, then the pool."""
    shapes = {"0.weight": (64, 3, 3, 3), "2.weight": (64, 64, 3, 3), "5.weight": (128, 64, 3, 3)}
    state = random_file(
        tmp_path / "vgg19-dcbb9e9d.safetensors", shapes | {f"{n}.bias": (c,) for n, c in ((0, 64), (2, 64), (5, 128))}
    )
    images = torch.rand(2, 3, 16, 16)
    x = functional.conv2d(normalised(images), state["0.weight"], state["0.bias"], padding=1).relu()
    conv1_2 = functional.conv2d(x, state["2.weight"], state["2.bias"], padding=1)
    pooled = functional.max_pool2d(conv1_2.relu(), 2)
    conv2_1 = functional.conv2d(pooled, state["5.weight"], state["5.bias"], padding=1)
    found = feature_net("vgg19", ["relu1_2", "conv2_1", "conv1_2"], tmp_path)(images)
    for ours, expected in zip(found, (conv1_2.relu(), conv2_1, conv1_2), strict=True):
        torch.testing.assert_close(ours, expected)


def test_squeezenet_from_a_file(tmp_path: Path) -> None:
    """The first fire block, after a pool that keeps a rest of the border."""
    shapes: dict[str, tuple[int, ...]] = {"0.weight": (64, 3, 3, 3), "0.bias": (64,)}
    for block, inputs in ((3, 64), (4, 128)):
        shapes |= {f"{block}.squeeze.weight": (16, inputs, 1, 1), f"{block}.squeeze.bias": (16,)}
        shapes |= {f"{block}.expand1x1.weight": (64, 16, 1, 1), f"{block}.expand1x1.bias": (64,)}
        shapes |= {f"{block}.expand3x3.weight": (64, 16, 3, 3), f"{block}.expand3x3.bias": (64,)}
    state = random_file(tmp_path / "squeezenet1_1-b8a52dc0.safetensors", shapes)
    images = torch.rand(1, 3, 24, 24)
    first = functional.conv2d(normalised(images), state["0.weight"], state["0.bias"], stride=2).relu()
    x = functional.max_pool2d(first, 3, stride=2, ceil_mode=True)
    for block in (3, 4):
        x = functional.conv2d(x, state[f"{block}.squeeze.weight"], state[f"{block}.squeeze.bias"]).relu()
        narrow = functional.conv2d(x, state[f"{block}.expand1x1.weight"], state[f"{block}.expand1x1.bias"])
        wide = functional.conv2d(x, state[f"{block}.expand3x3.weight"], state[f"{block}.expand3x3.bias"], padding=1)
        x = torch.cat([narrow, wide], dim=1).relu()
    found = feature_net("squeezenet", ["conv1_1", "relu2_2"], tmp_path)(images)
    torch.testing.assert_close(found[0], first)
    torch.testing.assert_close(found[1], x)


def test_random_features_are_always_the_same() -> None:
    images = torch.rand(1, 3, 16, 16)
    one = feature_net("random", ["conv3_3"], None)(images)[0]
    torch.manual_seed(5)
    assert torch.equal(one, feature_net("random", ["conv3_3"], None)(images)[0])
    assert one.shape == (1, 256, 4, 4) and 0.1 < float(one.std()) < 10


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vgg19\*\.pth in .*--feature-net squeezenet or random"):
        feature_net("vgg19", ["conv3_3"], tmp_path)
    with pytest.raises(ValueError, match=f"the feature network is {', '.join(FEATURE_NETS)}, got 'resnet'"):
        identity_of("resnet", None)
    with pytest.raises(ValueError, match="conv1_1 to conv5_4 or relu1_1 to relu5_4, got 'conv6_1'"):
        feature_net("random", ["conv6_1"], None)
    save_file({"features.0.weight": torch.zeros(3)}, tmp_path / "vgg19.safetensors")
    with pytest.raises(ValueError, match=r"is not torchvision's vgg19: features\.0\.weight"):
        feature_net("vgg19", ["conv3_3"], tmp_path)
    assert identity_of("random", None) == "random"
