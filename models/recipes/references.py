"""The strong deblurring networks of 2021 to 2023 that are not NAFNet: HINet, Stripformer, FFTformer."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import Contrast, Recipe, quick

ALL_FLIPS = ("horizontal", "vertical", "transpose")
QUICK_RATE = 2e-4  # at the usual 1e-3 so few steps throw the transformers off


def hinet(profile: str) -> Recipe:
    """Half of minus the PSNR of both stages, Adam, cosine from 2e-4 to 1e-7 in 400k steps.

    Source: Chen et al., CVPRW 2021, arXiv:2105.06086, section 4, and the authors' options/train/GoPro/HINet.yml: crops
    of 256, 64 in a batch over 8 GPUs (8 each), Adam with betas 0.9, 0.99, flips and rotations; gradients are clipped
    at 0.01 by their program. Batch 64 is said as one process has it: with torchrun give --batch 8 for each of 8.
    Differs: they draw crops from sub-images of 512 px cut beforehand, here from whole frames. Their README's 32.77 dB
    came after the paper (32.71 dB); which of the two this file gave is not said.
    """
    paper = Recipe(
        name="hinet",
        profile="paper",
        networks=("hinet",),
        differs=("crops come from whole frames, not from sub-images of 512 px",),
        source="Chen et al., CVPRW 2021, section 4, and the authors' GoPro configuration",
        losses=(("psnr", 0.5),),
        batch=64,
        crop_px=256,
        steps=400_000,
        learning_rate=2e-4,
        least_rate=5e-4,  # 1e-7 / 2e-4
        betas=(0.9, 0.99),
        gradient_clip=0.01,
        flips=ALL_FLIPS,
    )
    return paper if profile == "paper" else replace(quick(paper, steps=60, crop_px=64), least_rate=0.0)


def stripformer(profile: str) -> Recipe:
    """Charbonnier + 0.05 edge + 0.0005 contrastive; 3000 epochs on crops of 256, then 1000 on crops of 512.

    Source: Tsai et al., ECCV 2022, arXiv:2204.04627, and the authors' two configurations: batch 8, Adam 1e-4 with a
    cosine to 1e-7 in either part, each with an optimiser of its own; flips and turns by 90 degrees. The contrastive
    term divides the distance to the sharp image's VGG19 features by that to the blurred image's (the negative); the
    layer, relu3_1, is that of their program. Differs from it: there the quotient is taken pixel by pixel and counts
    only where blurred and sharp image differ by more than 0.01, and VGG19 sees values in [-0.5, 0.5] without ImageNet's
    means; here it is the quotient of two means, of normalised images. Their training reads frames in BGR order, their
    test programs give RGB; here both are RGB. Not read: the paper's own text on the layer and the form of the quotient.
    Quick has no contrastive term: it starts at the blurred image, which is the negative, and the term divides by the
    distance to it.
    """
    first = Recipe(
        name="stripformer",
        profile="paper",
        networks=("stripformer",),
        differs=(
            "the contrastive quotient is one of means, not taken pixel by pixel",
            "VGG19 sees values less ImageNet's means",
        ),
        source="Tsai et al., ECCV 2022, as the authors' two configurations train it",
        losses=(("charbonnier", 1.0), ("edge", 0.05)),
        batch=8,
        crop_px=256,
        epochs=3000,
        least_rate=1e-3,  # 1e-7 / 1e-4
        contrast=Contrast(weight=0.0005, layers=("relu3_1",), layer_weights=(1.0,), shares=(0.0,)),
        flips=ALL_FLIPS,
    )
    if profile == "paper":
        second = replace(first, crop_px=512, epochs=1000)
        return replace(second, epochs=4000, stages=(first, second))
    short = quick(first, steps=40, crop_px=64)
    return replace(short, contrast=None, learning_rate=QUICK_RATE, least_rate=0.0)


def fftformer(profile: str) -> Recipe:
    """L1 + 0.1 L1 of the Fourier transforms; 300k steps on crops of 128, then 300k on crops of 256.

    Source: Kong et al., CVPR 2023, arXiv:2211.12250, section 4, and the authors' options/train/GoPro.yml: AdamW 1e-3
    with betas 0.9, 0.9 and weight decay 1e-3, a cosine to 1e-7, flips and rotations; gradients are clipped at 0.01 by
    their program. The file gives the first part alone: crops of 128, 300k steps, 8 GPUs with 8 crops each in one of its
    versions and 2 in the other. Not verified, quoted from memory: the paper speaks of 256 px, batch 16, 600k steps and
    Adam. The second part here is the rest of those steps with the file's optimiser, and its rate starts anew.
    """
    first = Recipe(
        name="fftformer",
        profile="paper",
        networks=("fftformer",),
        differs=("the second half (crops of 256, batch 16) is quoted from memory",),
        source="Kong et al., CVPR 2023, section 4, and the authors' GoPro configuration",
        losses=(("l1", 1.0), ("mimo-frequency", 0.1)),
        batch=64,
        crop_px=128,
        steps=300_000,
        optimiser="adamw",
        learning_rate=1e-3,
        least_rate=1e-4,  # 1e-7 / 1e-3
        betas=(0.9, 0.9),
        weight_decay=1e-3,
        gradient_clip=0.01,
        flips=ALL_FLIPS,
    )
    if profile == "paper":
        second = replace(first, crop_px=256, batch=16)
        return replace(second, steps=600_000, stages=(first, second))
    return replace(quick(first, steps=40, crop_px=64), learning_rate=QUICK_RATE, least_rate=0.0)
