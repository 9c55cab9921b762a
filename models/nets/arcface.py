"""The identity network of GFPGAN: ResNet-18 trained with ArcFace on grey faces.

Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019 (improved residual
units); used by Wang et al., CVPR 2021, section 3.4. Layer names follow the file of GFPGAN's authors
(github.com/TencentARC/GFPGAN).
"""

from __future__ import annotations

from torch import Tensor, nn

from models.spec import ModelSpec, Weights


class ImprovedResidual(nn.Module):
    """Norm, convolution, norm, PReLU, strided convolution, norm, plus the shortcut; then the same PReLU again."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        return self.prelu(self.bn2(self.conv2(out)) + self.downsample(x))


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = ImprovedResidual(inputs, outputs, stride)
    return nn.Sequential(first, *[ImprovedResidual(outputs, outputs, 1) for _ in range(blocks - 1)])


class ArcFaceResNet(nn.Module):
    """A grey face to 512 numbers; faces of one person point in one direction.

    blocks: residual units per stage; (2, 2, 2, 2) is ResNet-18.
    """

    def __init__(self, blocks: tuple[int, int, int, int] = (2, 2, 2, 2)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = _stage(64, 64, blocks[0], 1)
        self.layer2 = _stage(64, 128, blocks[1], 2)
        self.layer3 = _stage(128, 256, blocks[2], 2)
        self.layer4 = _stage(256, 512, blocks[3], 2)
        self.bn4 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout()
        self.fc5 = nn.Linear(512 * 8 * 8, 512)
        self.bn5 = nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, 1, 128, 128] -> [B, 512]. Range: [-1, 1] in."""
        x = self.maxpool(self.prelu(self.bn1(self.conv1(x))))  # [B, 64, 64, 64]
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # [B, 512, 8, 8]
        return self.bn5(self.fc5(self.dropout(self.bn4(x)).flatten(1)))


def _build() -> nn.Module:
    return ArcFaceResNet()


ARCFACE_RESNET18 = ModelSpec(
    name="arcface-resnet18",
    task="features",
    build=_build,
    adapter=None,
    frames=1,
    multiple_of=128,
    value_range=(-1.0, 1.0),
    weights=(Weights(file="arcface_resnet18.pth", source="github.com/TencentARC/GFPGAN (releases, v0.1.0)"),),
    recipe="",
    source="Deng et al., CVPR 2019, arXiv:1801.07698; github.com/TencentARC/GFPGAN",
    published="",
    parity=("arcface_resnet18",),
    switches=(),
)
