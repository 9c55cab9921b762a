"""Uformer: positions, masks of shifted windows, parts of the image, the authors' black square."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.nets import uformer
from models.nets.adapters import outputs_of
from models.nets.uformer import Uformer, in_black_square, position_index, shift_masks
from models.training.start import start_at_the_blurred_image
from models.zoo import MODELS


def built(**changes: float) -> Uformer:
    torch.manual_seed(2)
    module = Uformer(4, (1, 2, 1, 1, 2, 1, 1, 2, 1), window=2, **changes)  # type: ignore[arg-type]
    for parameter in module.parameters():
        if parameter.ndim < 3:
            nn.init.normal_(parameter, std=0.3)
    return module.eval()


def test_positions_by_their_definition() -> None:
    index = position_index(8)
    for query in (0, 13, 63):
        for key in (0, 21, 63):
            rows, columns = query // 8 - key // 8, query % 8 - key % 8
            assert index[query, key] == (rows + 7) * 15 + columns + 7


def test_masks_of_shifted_windows() -> None:
    """Against zones of the whole map: [0, H - 8), [H - 8, H - 4), [H - 4, H), and the same for columns."""
    side = 24
    zone = torch.tensor([0] * (side - 8) + [1] * 4 + [2] * 4)
    zones = zone[:, None] * 3 + zone[None, :]
    windows = zones.view(3, 8, 3, 8).transpose(1, 2).reshape(3, 3, 64)
    apart = (windows[..., :, None] != windows[..., None, :]) * -100.0
    row, column, both = shift_masks(8, torch.device("cpu"))
    assert not apart[:2, :2].any()
    assert torch.equal(apart[2, 0], row) and torch.equal(apart[0, 2], column) and torch.equal(apart[2, 2], both)


@pytest.mark.parametrize("elements", [1, 20_000, 1 << 30])
def test_parts_of_the_image_give_what_the_whole_gives(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, image = built(), torch.rand(2, 3, 64, 96)
    module.image_px = module.trained_px  # with shifted windows in the bottleneck
    monkeypatch.setattr(uformer, "PART_ELEMENTS", elements)
    whole = module(image)
    with torch.no_grad():
        torch.testing.assert_close(module(image), whole, rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(module(image), whole, rtol=1e-4, atol=1e-4)


def test_training_shifts_the_bottleneck_and_tests_do_not() -> None:
    module, image = built(drop=0.0), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        tested, trained = module(image), module.train()(image)
        module.image_px = module.trained_px
        built_as_trained = module.eval()(image)
    torch.testing.assert_close(built_as_trained, trained)
    assert (tested - trained).abs().max() > 1e-5


def test_stochastic_depth_is_for_training_alone() -> None:
    module, image = built(drop=0.9), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(module(image), module(image))
        torch.manual_seed(0)
        assert not torch.equal(module.train()(image), module(image))
    rates = [each.drop for each in module.modules() if isinstance(each, uformer.TransformerBlock)]
    assert rates[0] == 0 and rates[-1] == 0 and max(rates) == pytest.approx(0.9)


@pytest.mark.parametrize(("height", "width", "side"), [(720, 1280, 1280), (128, 128, 128), (129, 7, 256)])
def test_the_black_square(height: int, width: int, side: int) -> None:
    image = torch.rand(1, 3, height, width) + 0.1
    square, top, left = in_black_square(image, 128)
    assert square.shape == (1, 3, side, side)
    assert (top, left) == ((side - height) // 2, (side - width) // 2)
    assert torch.equal(square[:, :, top : top + height, left : left + width], image)
    assert (square != 0).sum() == image.numel()


def test_a_side_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="sides must be multiples of 32, got 32 x 40"):
        built()(torch.rand(1, 3, 32, 40))


def test_training_starts_at_the_blurred_image() -> None:
    spec, module = MODELS["uformer-test"], MODELS["uformer-test"].build()
    start_at_the_blurred_image(module, spec)
    blur, sharp = torch.rand(2, 1, 3, 48, 40), torch.rand(2, 1, 3, 48, 40)
    ((output, target),) = outputs_of(spec)(module, blur, sharp)
    assert torch.equal(output, blur[:, 0]) and torch.equal(target, sharp[:, 0])
