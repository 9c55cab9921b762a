"""Every network of the zoo: odd sizes, determinism, repeated use; and the laws of STFAN's filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.faces import skip_detection
from models.nets.motion_unet import MotionUNet
from models.nets.stfan import filter_adaptive_convolution
from models.restorer import RESTORERS, Restorer, choose_device, open_method
from models.zoo import MODELS

TEST_VARIANTS = [name for name in MODELS if name.endswith("-test")]


def frames(count: int, height: int, width: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(count + height)
    return [torch.from_numpy(rng.random((3, height, width), dtype=np.float32)) for _ in range(count)]


def restorer(name: str) -> Restorer:
    torch.manual_seed(1)
    return Restorer(MODELS[name], MODELS[name].build(), choose_device("cpu"))


@pytest.mark.parametrize("name", TEST_VARIANTS)
@pytest.mark.parametrize(("height", "width"), [(33, 47), (64, 64), (3, 130), (5, 6)])
def test_odd_sizes(name: str, height: int, width: int) -> None:
    clip = frames(3, height, width)
    restored = list(restorer(name).restore(iter(clip)))
    assert len(restored) == 3
    for frame in restored:
        scale = MODELS[name].scale
        assert frame.shape == (3, scale * height, scale * width)
        assert frame.dtype == torch.float32
        assert frame.min() >= 0 and frame.max() <= 1


@pytest.mark.parametrize("name", TEST_VARIANTS)
def test_same_clip_twice_is_the_same(name: str) -> None:
    """State of one clip does not leak into the next, and restoring changes no running statistics."""
    method = restorer(name)
    state = {key: value.clone() for key, value in method.module.state_dict().items()}
    first = torch.stack(list(method.restore(iter(frames(2, 40, 40)))))
    again = torch.stack(list(method.restore(iter(frames(2, 40, 40)))))
    assert torch.equal(first, again)
    assert all(torch.equal(value, state[key]) for key, value in method.module.state_dict().items())


@pytest.mark.parametrize("name", TEST_VARIANTS)
def test_other_sizes_and_lengths_in_between_leave_no_trace(name: str) -> None:
    """Nothing that was computed for one size or length of a clip is used for another."""
    method = restorer(name)
    first = torch.stack(list(method.restore(iter(frames(2, 40, 36)))))
    for count, height, width in ((1, 36, 40), (3, 33, 46)):
        assert len(list(method.restore(iter(frames(count, height, width))))) == count
    again = torch.stack(list(method.restore(iter(frames(2, 40, 36)))))
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", TEST_VARIANTS)
def test_a_clip_runs_in_constant_memory(name: str) -> None:
    """No more frames go in before one comes out than the network looks at, nor later in the clip."""
    taken = given = 0
    looks_at = MODELS[name].frames

    def source():
        nonlocal taken
        for frame in frames(2 * looks_at + 3, 32, 32):
            taken += 1
            yield frame

    for _ in restorer(name).restore(source()):
        assert taken - given <= looks_at
        given += 1
    assert given == taken == 2 * looks_at + 3


@pytest.mark.parametrize("name", RESTORERS)
def test_full_width_on_a_small_image(name: str) -> None:
    method = restorer(name)
    if MODELS[name].task == "face":
        skip_detection(method)  # tests/models/test_faces.py runs with detection
    (restored,) = method.restore(iter(frames(1, 37, 50)))
    assert restored.shape == (3, 37 * MODELS[name].scale, 50 * MODELS[name].scale)


def test_a_frame_of_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[3, H, W\], got torch.float32 \[1, 3, 32, 32\]"):
        list(restorer("mimo-unet-test").restore(iter([torch.zeros(1, 3, 32, 32)])))
    with pytest.raises(ValueError, match=r"float tensor .* got torch.uint8"):
        list(restorer("mimo-unet-test").restore(iter([torch.zeros(3, 32, 32, dtype=torch.uint8)])))


def test_an_output_that_is_not_finite_is_refused() -> None:
    method = restorer("mimo-unet-test")
    with torch.no_grad():
        method.module.feat_extract[5].main[0].bias[1] = float("inf")
        method.module.feat_extract[5].main[0].weight[1] = float("nan")
    with pytest.raises(FloatingPointError, match="mimo-unet-test gave NaN or infinity"):
        list(method.restore(iter(frames(1, 32, 32))))


def test_too_little_memory_is_one_sentence() -> None:
    class Hungry(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.empty(1 << 50)

    with pytest.raises(MemoryError, match="mimo-unet-test needs more memory for an image of this size"):
        list(Restorer(MODELS["mimo-unet-test"], Hungry(), choose_device("cpu")).restore(iter(frames(1, 32, 32))))


@pytest.mark.parametrize("name", TEST_VARIANTS)
def test_memory_layout_does_not_matter(name: str) -> None:
    """The Restorer rearranges the network for speed; the adapted network itself gives the same image.

    Untrained instance norms of nearly even maps, and places where an untrained network samples (motion-unet), enlarge
    the last digit a thousandfold, in whatever order sums run:
    there both are held against float64, and the Restorer may be at most as far from it as a few plain networks.
    """
    torch.manual_seed(1)
    spec, clip = MODELS[name], frames(2, 40, 52)
    module = spec.build().eval()
    found = torch.stack(list(restorer(name).restore(iter(clip))))
    with torch.no_grad():
        plain = torch.stack(list(spec.adapt(module).restore(iter(clip))))
        if not any(isinstance(layer, nn.InstanceNorm2d | MotionUNet) for layer in module.modules()):
            torch.testing.assert_close(found, plain, rtol=0, atol=2e-6)
            return
        exact = torch.stack(list(spec.adapt(module.double()).restore(frame.double() for frame in clip)))
    assert float((found - exact).abs().max()) <= 2e-6 + 4 * float((plain - exact).abs().max())


def test_results_can_be_changed_and_need_no_gradient() -> None:
    (restored,) = restorer("mimo-unet-test").restore(iter(frames(1, 32, 32)))
    assert not restored.requires_grad
    restored.mul_(2)  # an inference tensor would refuse


def test_a_network_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="needs weights"):
        open_method("mimo-unet", None)
    with pytest.raises(ValueError, match="no method is called 'nafnat'"):
        open_method("nafnat", None)


def test_filter_adaptive_convolution_against_unfold() -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.standard_normal((2, 3, 7, 9)))
    filters = torch.from_numpy(rng.standard_normal((2, 3 * 25, 7, 9)))
    padded = functional.pad(features, (2, 2, 2, 2), mode="replicate")
    columns = functional.unfold(padded, 5).view(2, 3, 25, 7, 9)
    expected = (columns * filters.view(2, 3, 25, 7, 9)).sum(dim=2)
    torch.testing.assert_close(filter_adaptive_convolution(features, filters), expected)


def test_filter_adaptive_convolution_has_exact_gradients() -> None:
    rng = np.random.default_rng(1)
    features = torch.from_numpy(rng.standard_normal((1, 2, 4, 3))).requires_grad_()
    filters = torch.from_numpy(rng.standard_normal((1, 2 * 25, 4, 3))).requires_grad_()
    assert torch.autograd.gradcheck(filter_adaptive_convolution, (features, filters))


def test_filter_adaptive_convolution_shifts_without_a_flip() -> None:
    """A filter whose only tap is channel 1's (row 0, column 4) reads two rows above and two columns to the right."""
    features = torch.arange(2 * 6 * 7, dtype=torch.float32).view(1, 2, 6, 7)
    filters = torch.zeros(1, 2 * 25, 6, 7)
    filters[:, 25 + 4] = 1
    moved = filter_adaptive_convolution(features, filters)
    assert torch.equal(moved[0, 1, 2:, :-2], features[0, 1, :-2, 2:])
    assert torch.equal(moved[0, 1, 0, :-2], features[0, 1, 0, 2:])  # the edge is repeated
    assert not moved[0, 0].any()


def test_filter_adaptive_convolution_needs_matching_shapes() -> None:
    with pytest.raises(ValueError, match="filters of shape"):
        filter_adaptive_convolution(torch.zeros(1, 2, 4, 4), torch.zeros(1, 25, 4, 4))


def test_stfan_uses_the_past() -> None:
    method = restorer("stfan-test")
    first, second = frames(2, 32, 32)
    alone = next(iter(method.restore(iter([second]))))
    after = list(method.restore(iter([first, second])))[1]
    assert not torch.allclose(alone, after)
