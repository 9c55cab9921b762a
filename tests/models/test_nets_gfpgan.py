"""GFPGAN's networks: laws of the generator, the discriminator of eyes and mouth, and the face detector."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.nets.gfpgan import GFPGANv1Clean, ResizingBlock
from models.nets.retinaface import (
    ANCHOR_SIDES_PX,
    STRIDES,
    RetinaFace,
    anchors,
    decode_boxes,
    decode_landmarks,
    detect,
    suppress,
)
from models.nets.stylegan2 import Blur, EqualisedConv, FacialComponentDiscriminator, ModulatedConv, ScaledActivation
from models.zoo import MODELS


def test_gfpgan_has_one_image_per_level_and_gradients_everywhere_but_in_the_unused_layers() -> None:
    torch.manual_seed(0)
    net = MODELS["gfpgan-test"].build()
    image, levels = net(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert image.shape == (2, 3, 32, 32)
    assert [tuple(level.shape[1:]) for level in levels] == [(3, 8, 8), (3, 16, 16), (3, 32, 32)]
    assert net(torch.rand(1, 3, 32, 32), return_rgb=False)[1] == []
    (image.square().mean() + sum(level.square().mean() for level in levels)).backward()
    without = {name.split(".")[1] for name, weight in net.named_parameters() if weight.grad is None}
    assert without == {"style_mlp"}


def test_noise_is_stored_or_drawn() -> None:
    torch.manual_seed(0)
    net = MODELS["gfpgan-test"].build().eval()
    for layer in net.stylegan_decoder.style_convs:
        torch.nn.init.ones_(layer.weight)
    face = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        stored = [net(face, randomize_noise=False)[0] for _ in range(2)]
        drawn = [net(face)[0] for _ in range(2)]
    assert torch.equal(*stored)
    assert not torch.allclose(*drawn)


def test_the_first_half_of_the_channels_is_left_to_the_prior() -> None:
    """Scale 1 and shift 0 leave the generator alone; the condition reaches it through the second half only."""
    torch.manual_seed(0)
    decoder = MODELS["gfpgan-test"].build().stylegan_decoder
    latents = torch.randn(1, decoder.latents, 16)
    seen: dict[str, torch.Tensor] = {}
    decoder.style_convs[1].register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0].clone()))

    def features(scale: float, shift: float) -> torch.Tensor:
        shapes = [(1, 8, side, side) for side in (8, 16, 32)]
        with torch.no_grad():
            decoder(
                latents,
                [torch.full(shape, scale) for shape in shapes],
                [torch.full(shape, shift) for shape in shapes],
                randomize_noise=False,
            )
        return seen["x"]

    plain, steered = features(1, 0), features(2, 3)
    assert torch.equal(plain[:, :8], steered[:, :8])
    torch.testing.assert_close(steered[:, 8:], 2 * plain[:, 8:] + 3)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_a_scaled_input_and_a_scaled_output(demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(4, 5, 3, 6, demodulate=demodulate).double()
    x, style = torch.randn(2, 4, 7, 8, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    scales = layer.modulation(style)
    expected = functional.conv2d(x * scales[:, :, None, None], layer.weight[0], padding=1)
    if demodulate:
        energy = (layer.weight[0].square().sum(dim=(2, 3))[None] * scales[:, None].square()).sum(dim=2)
        expected = expected / (energy + 1e-8).sqrt()[:, :, None, None]
    torch.testing.assert_close(layer(x, style, 1.5), 1.5 * expected)


def test_demodulation_ignores_the_strength_of_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(8, 4, 3, 2, demodulate=True)
    torch.nn.init.zeros_(layer.modulation.bias)
    x, style = torch.randn(1, 8, 6, 6), torch.randn(1, 2)
    torch.testing.assert_close(layer(x, style), layer(x, 10 * style), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_resizing_block_in_the_order_of_the_paper(factor: float) -> None:
    """Enlarging after the 1x1 convolution of the shortcut gives the same as before it."""
    torch.manual_seed(0)
    block = ResizingBlock(4, 6, factor).double()
    x = torch.randn(2, 4, 8, 10, dtype=torch.float64)

    def resized(y: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(y, scale_factor=factor, mode="bilinear", align_corners=False)

    body = functional.leaky_relu(block.conv2(resized(functional.leaky_relu(block.conv1(x), 0.2))), 0.2)
    torch.testing.assert_close(block(x), body + block.skip(resized(x)))


def test_gfpgan_of_another_size_has_latents_for_every_layer() -> None:
    net = GFPGANv1Clean(size=64, style_features=8, width=16)
    assert net.stylegan_decoder.latents == 10 == net.final_linear.out_features // 8
    assert net(torch.zeros(1, 3, 64, 64))[0].shape == (1, 3, 64, 64)


def test_component_discriminator_laws() -> None:
    torch.manual_seed(0)
    conv = EqualisedConv(4, 2, 3, stride=1, padding=1, bias=False)
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(conv(x), functional.conv2d(x, conv.weight, padding=1) / 6)  # sqrt(4 * 9)
    activation = ScaledActivation(2)
    torch.nn.init.constant_(activation.bias, 1.0)
    values = activation(torch.tensor([[[[1.0]], [[-3.0]]]])).flatten().tolist()
    assert values == pytest.approx([2 * math.sqrt(2), -0.4 * math.sqrt(2)])
    blurred = Blur()(torch.ones(1, 3, 8, 9))
    assert blurred.shape == (1, 3, 9, 10)
    torch.testing.assert_close(blurred[:, :, 2:-2, 2:-2], torch.ones(1, 3, 5, 6))


@pytest.mark.parametrize(("height", "width"), [(80, 80), (40, 56), (33, 47)])
def test_component_discriminator_sizes_and_features(height: int, width: int) -> None:
    net = FacialComponentDiscriminator()
    logits, features = net(torch.rand(2, 3, height, width), return_feats=True)
    assert [tuple(feature.shape) for feature in features] == [
        (2, 128, height // 2, width // 2),
        (2, 256, height // 4, width // 4),
    ]
    assert logits.shape == (2, 1, height // 4, width // 4)
    plain, nothing = net(torch.rand(2, 3, height, width))
    assert plain.shape == logits.shape and nothing is None


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 33), (5, 250)])
def test_the_detector_answers_for_every_anchor(height: int, width: int) -> None:
    squares = anchors(height, width)
    assert len(squares) == sum(2 * -(-height // stride) * -(-width // stride) for stride in STRIDES)
    with torch.no_grad():
        boxes, logits, landmarks = RetinaFace().eval()(torch.zeros(2, 3, height, width))
    assert boxes.shape == (2, len(squares), 4)
    assert logits.shape == (2, len(squares), 2) and landmarks.shape == (2, len(squares), 10)


def test_anchors_are_ordered_as_the_heads_answer() -> None:
    """A head of two anchors answers with channels [anchor, value]; the places run along the rows."""
    squares = anchors(24, 40)
    assert squares[:4].tolist() == [[4, 4, 10], [4, 4, 20], [12, 4, 10], [12, 4, 20]]
    assert squares[2 * 5].tolist() == [4, 12, 10]  # the second row: five places of two anchors later
    assert squares[-1].tolist() == [48, 16, ANCHOR_SIDES_PX[2][1]]
    net = RetinaFace()
    head = net.ClassHead[0]
    torch.nn.init.zeros_(head.conv1x1.weight)
    head.conv1x1.bias.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert head(torch.zeros(1, 64, 3, 5))[0, :3].tolist() == [[1, 2], [3, 4], [1, 2]]
    head.conv1x1.weight.data[0, 0] = 1
    places = torch.arange(15.0).view(1, 1, 3, 5).expand(1, 64, 3, 5)
    assert (head(places)[0, ::2, 0] - 1).tolist() == list(range(15))


def test_decoding_by_hand() -> None:
    squares = torch.tensor([[100.0, 60.0, 20.0]])
    assert decode_boxes(torch.zeros(1, 4), squares).tolist() == [[90, 50, 110, 70]]
    offsets = torch.tensor([[1.0, -2.0, 5 * math.log(2), 0.0]])  # 0.1 * 20 px each; twice as wide
    torch.testing.assert_close(decode_boxes(offsets, squares), torch.tensor([[82.0, 46.0, 122.0, 66.0]]))
    points = decode_landmarks(torch.tensor([[1.0, 0, 0, 2, -3, 0, 0, 0, 0, 0]]), squares)
    assert points.tolist() == [[[102, 60], [100, 64], [94, 60], [100, 60], [100, 60]]]


def test_suppression_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [2, 0, 12, 10], [30, 30, 40, 40], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.5, 0.8, 0.7, 0.9])
    # To the first: 1/3, 2/3, none, itself. The second is only crowded out by the third, which is gone.
    assert suppress(boxes, scores, 0.4).tolist() == [0, 3, 1]
    assert suppress(boxes, scores, 0.3).tolist() == [0, 3]
    assert suppress(boxes[:0], scores[:0], 0.4).tolist() == []


def test_detection_end_to_end_with_hand_made_heads() -> None:
    """A network whose heads know one face only: its place, size and landmarks come out in pixels of the frame."""
    rng = np.random.default_rng(0)
    frame = torch.from_numpy(rng.random((3, 70, 90), dtype=np.float32))
    squares = anchors(70, 90)
    wanted = 2 * (12 * 3 + 5) + 1  # stride 8: row 3, column 5, the larger anchor

    class Heads(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            torch.testing.assert_close(images[0, 0], frame[2] * 255 - 104)  # blue first
            torch.testing.assert_close(images[0, 2], frame[0] * 255 - 123)
            logits = torch.zeros(1, len(squares), 2)
            logits[..., 0] = 9
            logits[0, wanted, 1] = 20
            landmarks = torch.zeros(1, len(squares), 10)
            landmarks[0, wanted, 4] = 2.5  # the nose 5 px to the right
            return torch.zeros(1, len(squares), 4), logits, landmarks

    found = detect(Heads(), frame, 0.5)
    assert found.boxes.tolist() == [[34, 18, 54, 38]]
    assert found.landmarks[0].tolist() == [[44, 28], [44, 28], [49, 28], [44, 28], [44, 28]]
    assert float(found.scores[0]) > 0.99
    assert len(detect(RetinaFace().eval(), torch.zeros(3, 6, 5), 1.0).scores) == 0
