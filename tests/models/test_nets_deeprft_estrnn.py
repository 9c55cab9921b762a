"""DeepRFT: folding, tiles, the authors' files; ESTRNN: ends of clips, runs, the authors' files; the losses of both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import weights
from models.fused import fused
from models.losses import LOSSES
from models.nets.adapters import outputs_of
from models.nets.deeprft import DeepRFT, folded, gaussian_scales, in_tiles, mixed_taps
from models.nets.estrnn import ESTRNN
from models.network_weights import load_into
from models.restorer import Restorer
from models.training.start import start_at_the_blurred_image
from models.zoo import MODELS


def unfolded() -> DeepRFT:
    """The tiny training form with taps that are mixed."""
    torch.manual_seed(0)
    module = MODELS["deeprft-doconv-test"].build().eval()
    assert isinstance(module, DeepRFT)
    with torch.no_grad():
        for key, value in module.named_parameters():
            if key.endswith(".D"):
                value.normal_(0, 0.1)
    return module


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_the_folded_network_equals_the_unfolded_one(tmp_path: Path) -> None:
    module, plain = unfolded(), MODELS["deeprft-test"].build().eval()
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in module.state_dict().items()}}, tmp_path / "a.pth"
    )
    load_into(plain, tmp_path / "a.pth", MODELS["deeprft-test"])
    with torch.no_grad():
        full, half, quarter = module(image(40, 48))
        torch.testing.assert_close(plain(image(40, 48)), full, rtol=0, atol=1e-5)
        for ours, theirs in zip(plain.scales(image(40, 48)), (full, half, quarter), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
        for network in (module, plain):  # as the CPU runs them
            quick = fused(network)
            assert not any(hasattr(layer, "W") for layer in quick.modules())
            found = quick(image(40, 48))
            torch.testing.assert_close(found[0] if isinstance(found, list) else found, full, rtol=0, atol=1e-5)
    state = folded(module.state_dict())
    assert folded(state) == state and state.keys() == plain.state_dict().keys()


def test_folding_sums_over_the_taps_of_the_weight() -> None:
    """By hand, from the definition."""
    weight, mixing = torch.randn(2, 3, 9), torch.randn(3, 9, 9)
    expected = torch.zeros(2, 3, 9)
    for output in range(2):
        for channel in range(3):
            for tap in range(9):
                expected[output, channel, tap] = (mixing[channel, tap] * weight[output, channel]).sum()
    torch.testing.assert_close(mixed_taps(weight, mixing), expected.view(2, 3, 3, 3))


def test_fetch_and_check_fold_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(unfolded().state_dict(), tmp_path / "net.pth")
    assert weights.main(["check", "deeprft-test", str(tmp_path / "net.pth")]) == 0
    assert weights.main(["check", "deeprft-doconv-test", str(tmp_path / "net.pth")]) == 0
    words = ["--from", str(tmp_path / "net.pth"), "--weights-dir", str(tmp_path / "weights")]
    assert weights.main(["fetch", "deeprft-test", *words]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("change", ["missing", "shape", "taps"])
def test_weights_that_cannot_be_folded_are_named(change: str, tmp_path: Path) -> None:
    state = unfolded().state_dict()
    key = "FAM1.merge.main.0.D"
    if change == "missing":
        del state[key]
    elif change == "shape":
        state[key] = state[key][:-1]
    else:
        state["FAM1.merge.main.0.W"] = state["FAM1.merge.main.0.W"][..., :8]
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth: this is a checkpoint of another network than deeprft-test"):
        load_into(MODELS["deeprft-test"].build(), tmp_path / "net.pth", MODELS["deeprft-test"])


def test_training_starts_at_the_blurred_image_and_goes_on_from_there() -> None:
    """W alone is zero: with D_diag at zero, too, nothing could be learned."""
    spec = MODELS["deeprft-doconv-test"]
    module = spec.build()
    start_at_the_blurred_image(module, spec)
    blur = image(32, 32)[:, None]
    pairs = outputs_of(spec)(module, blur, torch.zeros_like(blur))
    torch.testing.assert_close(pairs[-1][0], blur[:, 0])
    sum(output.square().mean() for output, _ in pairs).backward()  # type: ignore[union-attr]
    assert module.get_parameter("feat_extract.5.main.0.W").grad.abs().max() > 0  # type: ignore[union-attr]
    assert module.get_parameter("feat_extract.5.main.0.D_diag").grad is None


def test_targets_are_a_gaussian_pyramid() -> None:
    """Away from the borders: 1 4 6 4 1 along both axes, then means of 2x2. A constant stays."""
    module = MODELS["deeprft-test"].build()
    sharp = torch.zeros(1, 1, 3, 32, 32)
    sharp[..., 16, 16] = 256.0
    (_, half), (_, full) = gaussian_scales(module, sharp, sharp)[1:]
    assert torch.equal(full, sharp[:, 0])
    expected = torch.outer(torch.tensor([5.0, 10.0, 1.0]), torch.tensor([5.0, 10.0, 1.0])) / 4
    torch.testing.assert_close(half[0, 0, 7:10, 7:10], expected)
    for _, target in gaussian_scales(module, sharp, torch.full_like(sharp, 0.5)):
        torch.testing.assert_close(target, torch.full_like(target, 0.5))


class Numbered(nn.Module):
    """Where in its tile a pixel lies, and in which tile."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def forward(self, tile: Tensor) -> Tensor:
        assert tile.shape[-2:] == (32, 32)
        self.seen.append((int(tile[0, 0, 0, 0]), int(tile[0, 1, 0, 0])))
        return tile * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1) + len(self.seen) * torch.tensor([0.0, 0.0, 1.0]).view(
            3, 1, 1
        )


def test_tiles_are_those_of_the_authors() -> None:
    """A grid, then tiles that end with the image, of which the grid's pixels are not used."""
    rows, columns = torch.meshgrid(torch.arange(75.0), torch.arange(90.0), indexing="ij")
    picture = torch.stack([rows, columns, torch.zeros(75, 90)])[None]
    network = Numbered()
    output = in_tiles(network, picture, 32)
    assert network.seen == [(top, left) for top in (0, 32, 43) for left in (0, 32, 58)]
    assert torch.equal(output[:, :2], picture[:, :2])
    assert output[0, 2, 63, 63] == 5 and output[0, 2, 64, 63] == 8 and output[0, 2, 63, 64] == 6
    assert output[0, 2, 74, 89] == 9
    network = Numbered()
    assert torch.equal(in_tiles(network, picture[..., :64, :64], 32)[:, :2], picture[:, :2, :64, :64])
    assert len(network.seen) == 4


def test_the_switch_for_tiles() -> None:
    spec = MODELS["deeprft-test"]
    torch.manual_seed(0)
    module = spec.build().eval()
    frame = image(264, 300)[0]
    (tiled,) = Restorer(spec, module, torch.device("cpu"), ("authors-tiles",)).restore(iter([frame]))
    (whole,) = Restorer(spec, module, torch.device("cpu")).restore(iter([frame]))
    with torch.no_grad():
        torch.testing.assert_close(tiled, in_tiles(module, frame[None], 256)[0].clamp(0, 1), rtol=0, atol=1e-5)
    assert (tiled - whole).abs().max() > 1e-3
    small = image(100, 300)[0]
    (tiled,) = Restorer(spec, module, torch.device("cpu"), ("authors-tiles",)).restore(iter([small]))
    assert tiled.shape == small.shape


def estrnn() -> ESTRNN:
    torch.manual_seed(0)
    module = MODELS["estrnn-test"].build().eval()
    assert isinstance(module, ESTRNN)
    with torch.no_grad():  # make the state matter
        for value in module.parameters():
            value.mul_(1.5)
    return module


def clip(count: int, seed: int = 0) -> Tensor:
    noise = torch.rand(count, 3, 36, 36, generator=torch.Generator().manual_seed(seed))
    return functional.avg_pool2d(noise, 5, 1)  # [count, 3, 32, 32]


def restored(module: ESTRNN, frames: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.stack(list(MODELS["estrnn-test"].adapt(module).restore(iter(frames))))  # type: ignore[misc]


def of_authors(module: ESTRNN, frames: Tensor) -> Tensor:
    """Frames 2 to T - 3 in RGB: what the network gives for BGR in [-0.5, 0.5]."""
    with torch.no_grad():
        return (module(frames.flip(1)[None] - 0.5)[0].flip(1) + 0.5).clamp(0, 1)


def test_frames_that_the_authors_score_are_theirs() -> None:
    """Whatever is done for the two frames at either end, which have an output here."""
    module, frames = estrnn(), clip(9)
    found = restored(module, frames)
    assert len(found) == 9
    torch.testing.assert_close(found[2:-2], of_authors(module, frames), rtol=0, atol=1e-6)
    with torch.no_grad():
        features = module.features(frames.flip(1)[None] - 0.5)
        for place, window in ((0, (2, 1, 0, 1, 2)), (1, (1, 0, 1, 2, 3)), (8, (6, 7, 8, 7, 6))):
            end = module.recons(module.fusion([features[index] for index in window]))
            torch.testing.assert_close(found[place], (end[0].flip(0) + 0.5).clamp(0, 1), rtol=0, atol=1e-6)


def test_long_clips_are_cut_as_the_authors_cut_them() -> None:
    """43 frames: runs from 0, 16 and, moved back to end with the clip, 23; a frame's first output counts."""
    module, frames = estrnn(), clip(43)
    found = restored(module, frames)
    expected: dict[int, Tensor] = {}
    for start in (0, 16, 23):
        for place, output in enumerate(of_authors(module, frames[start : start + 20])):
            expected.setdefault(start + 2 + place, output)
    assert sorted(expected) == list(range(2, 41))
    torch.testing.assert_close(found[2:-2], torch.stack([expected[place] for place in range(2, 41)]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_short_clips_have_as_many_outputs_as_frames(count: int) -> None:
    module = estrnn()
    assert restored(module, clip(count)).shape == (count, 3, 32, 32)
    pairs = outputs_of(MODELS["estrnn-test"])(module, clip(count)[None], clip(count)[None])
    assert len(pairs) == 1 and pairs[0][0].shape == (1, 3, 32, 32)


def test_training_compares_the_middle_frames() -> None:
    module, blur, sharp = estrnn(), clip(8)[None], clip(8, seed=1)[None]
    pairs = outputs_of(MODELS["estrnn-test"])(module, blur, sharp)
    assert [torch.equal(target, sharp[:, 2 + place]) for place, (_, target) in enumerate(pairs)] == [True] * 4
    torch.testing.assert_close(
        torch.cat([output for output, _ in pairs]).clamp(0, 1), of_authors(module, blur[0]), rtol=0, atol=1e-6
    )


def test_checkpoints_of_the_authors_program(tmp_path: Path) -> None:
    """Their network is inside a wrapper, inside DataParallel."""
    module, other = estrnn(), MODELS["estrnn-test"].build()
    state = {f"module.model.{key}": value for key, value in module.state_dict().items()}
    torch.save({"epoch": 500, "state_dict": state}, tmp_path / "model_best.pth.tar")
    load_into(other, tmp_path / "model_best.pth.tar", MODELS["estrnn-test"])
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in module.state_dict().items())


def test_losses_by_hand() -> None:
    restored_image, sharp = image(8, 10), image(8, 10, seed=1)
    difference = restored_image - sharp
    spectrum = torch.fft.fft2(difference)
    expected = (spectrum.real.square() + spectrum.imag.square()).sqrt().mean()
    torch.testing.assert_close(LOSSES["frequency"](restored_image, sharp), expected)
    by_pixel = (difference.square().sum(1) / 3 + 1e-6).sqrt().mean()
    torch.testing.assert_close(LOSSES["charbonnier-colour"](restored_image, sharp), by_pixel)
    assert LOSSES["charbonnier-colour"](sharp, sharp) == pytest.approx(1e-3)
