"""DMPHN 1-2-4: deep multi-patch hierarchical network; finer patches first, each level corrects the one above it.

Source: Zhang et al., "Deep Stacked Hierarchical Multi-Patch Network for Image Deblurring", CVPR 2019; layer names
follow the authors' checkpoints (github.com/HongguangZhang/DMPHN-cvpr19-master), whose six files are read as one.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from core.weights_files import load_state_dict
from models.nets.adapters import Still
from models.spec import ModelSpec, Weights

SOURCE = "Zhang et al., CVPR 2019, arXiv:1904.03468; github.com/HongguangZhang/DMPHN-cvpr19-master"
_SHA256 = {
    "encoder_lv1.pkl": "64b21c627f67382b20d472689a4766c6426d1f3b11763e73cde0cd13270064e1",
    "decoder_lv1.pkl": "923fe68db2a9fb97c45082984e4371768f8d7d27824febcdd95615c3841e9824",
    "encoder_lv2.pkl": "816cdef4165ef81438da0c2226491b1a820ebbc1a3c3d175f56338111da7546d",
    "decoder_lv2.pkl": "d324a23f676c624f68ed20cad13d5bca5fa3281922ab20383c4c4713138233d2",
    "encoder_lv3.pkl": "898f79b659fd4a4ea1b098d186d42345e6d5fd12ad1ea22eb785c3484f93aab2",
    "decoder_lv3.pkl": "652c12753b2eb15523cfdb0f1f280d0dd258aceb3464d9da637d2b6b5b1aa5bb",
}


class ResidualPair(nn.Sequential):
    """Convolution, ReLU, convolution, plus input."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).add_(x)


class Encoder(nn.Module):
    """Shape: [B, 3, H, W] -> [B, 4C, H/4, W/4]. The layers are numbered as in the authors' files."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.layer1 = nn.Conv2d(3, c, 3, padding=1)
        self.layer2, self.layer3 = ResidualPair(c), ResidualPair(c)
        self.layer5 = nn.Conv2d(c, 2 * c, 3, stride=2, padding=1)
        self.layer6, self.layer7 = ResidualPair(2 * c), ResidualPair(2 * c)
        self.layer9 = nn.Conv2d(2 * c, 4 * c, 3, stride=2, padding=1)
        self.layer10, self.layer11 = ResidualPair(4 * c), ResidualPair(4 * c)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


class Decoder(nn.Module):
    """Shape: [B, 4C, H/4, W/4] -> [B, 3, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.layer13, self.layer14 = ResidualPair(4 * c), ResidualPair(4 * c)
        self.layer16 = nn.ConvTranspose2d(4 * c, 2 * c, 4, stride=2, padding=1)
        self.layer17, self.layer18 = ResidualPair(2 * c), ResidualPair(2 * c)
        self.layer20 = nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1)
        self.layer21, self.layer22 = ResidualPair(c), ResidualPair(c)
        self.layer24 = nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def _side_by_side(quadrants: Tensor) -> Tensor:
    """Left and right halves joined. Shape: [2 * N, C, h, w] in the order left, right -> [N, C, h, 2w]."""
    left, right = quadrants.chunk(2)
    return torch.cat([left, right], dim=3)


def _one_above_the_other(halves: Tensor) -> Tensor:
    """Shape: [2 * N, C, h, w] in the order top, bottom -> [N, C, 2h, w]."""
    top, bottom = halves.chunk(2)
    return torch.cat([top, bottom], dim=2)


class DMPHN(nn.Module):
    """Levels of 1, 2 and 4 patches. Patches of a level run as one batch."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.encoder_lv1, self.decoder_lv1 = Encoder(channels), Decoder(channels)
        self.encoder_lv2, self.decoder_lv2 = Encoder(channels), Decoder(channels)
        self.encoder_lv3, self.decoder_lv3 = Encoder(channels), Decoder(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Shape: [B, 3, H, W], sides multiples of 8 -> the same. Range: [-0.5, 0.5] in; the output is not clamped."""
        halves = torch.cat(image.chunk(2, dim=2))  # [2B, 3, H/2, W]
        quadrants = torch.cat(halves.chunk(2, dim=3))  # [4B, 3, H/2, W/2], left ones first
        features3 = _side_by_side(self.encoder_lv3(quadrants))  # [2B, 4C, H/8, W/4]
        features2 = self.encoder_lv2(halves + self.decoder_lv3(features3))  # [2B, 4C, H/8, W/4]
        features2 = _one_above_the_other(features2 + features3)  # [B, 4C, H/4, W/4]
        features1 = self.encoder_lv1(image + self.decoder_lv2(features2))  # [B, 4C, H/4, W/4]
        return self.decoder_lv1(features1 + features2)


def six_files(path: Path) -> list[Path]:
    """The authors' six files, given as their folder or as any one of them; none if it is an ordinary checkpoint's path.

    Errors: ValueError if one of the six is missing.
    """
    path = Path(path)
    if not path.is_dir() and path.name not in _SHA256:
        return []
    folder = path if path.is_dir() else path.parent
    missing = [name for name in _SHA256 if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder}: a folder of weights holds the six files of DMPHN ({', '.join(_SHA256)}), but {missing[0]} is "
            "not there; put it beside the others, or give the path of one file that holds all weights"
        )
    return [folder / name for name in _SHA256]


def merge_folder(path: Path) -> dict[str, Tensor] | None:
    """The six files as one state dict; None for an ordinary checkpoint. Errors: as `six_files`, `load_state_dict`."""
    files = six_files(path)
    if not files:
        return None
    return {f"{file.stem}.{key}": value for file in files for key, value in load_state_dict(file).items()}


def _build_test() -> nn.Module:
    return DMPHN(channels=8)


DMPHN_1_2_4 = ModelSpec(
    name="dmphn-1-2-4",
    task="deblur",
    build=DMPHN,
    adapter=Still,
    frames=1,
    multiple_of=8,
    value_range=(-0.5, 0.5),
    weights=tuple(
        Weights(
            file=name,
            sha256=digest,
            source="github.com/HongguangZhang/DMPHN-cvpr19-master, folder checkpoints/DMPHN_1_2_4",
            licence="no licence file: not to be passed on",
        )
        for name, digest in _SHA256.items()
    ),
    recipe="dmphn",
    quick_recipe="charbonnier",
    source=SOURCE,
    published="DMPHN",
    parity=("dmphn_124",),
).with_tiny("dmphn-test", _build_test)
