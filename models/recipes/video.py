"""Networks for clips: STFAN, EDVR, BasicVSR, IconVSR."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import Augmentation, Features, Recipe, quick, quick_stages, quick_terms


def stfan(profile: str) -> Recipe:
    """Recurrent over clips of 20: MSE + 0.01 perceptual (VGG19 conv3_3 after its ReLU).

    Source: Zhou et al., ICCV 2019, arXiv:1904.12257, sections 4 and 5.1: random reversal, brightness and contrast in
    [0.8, 1.2], flips, crops of 256, Gaussian noise of sigma 0.01 of full scale (the authors' program draws sigma up to
    1e-4: synth/degrade/steps.py has that), Adam 1e-4, divided by 10 every 400k of 900k steps, Kaiming initialisation:
    torch's own for convolutions, which is Kaiming's uniform one with a slope of sqrt(5) (the plain normal one lets this
    recurrence grow by 1e7 a frame, docs/log, 7). Saturation, which their program changes as well, is left out.
    """
    paper = replace(
        _stfan(),
        name="stfan",
        source="Zhou et al., ICCV 2019, sections 4 and 5.1",
        losses=(("mse", 1.0),),
        features=Features(weight=0.01, layers=("relu3_3",)),
        augmentation=Augmentation(brightness=0.2, contrast=0.2, noise=0.01),
    )
    return paper if profile == "paper" else quick_terms(paper, steps=50, crop_px=64, clip_frames=3)


def stfan_plain(profile: str) -> Recipe:
    """STFAN with its mean squared error replaced by Charbonnier and without its perceptual term.

    Source of the rest: Zhou et al., ICCV 2019, section 5.1: clips of 20 frames, random reversal, flips, crops of 256,
    Adam 1e-4, divided by 10 every 400k of 900k steps. Differs from the paper in the loss and leaves out colour jitter
    and noise.
    """
    paper = _stfan()
    if profile == "paper":
        return paper
    # At quick's rate and without a long warm-up the recurrence is thrown off (docs/log, 21).
    return replace(quick(paper, steps=150, crop_px=64, clip_frames=3), learning_rate=3e-4, warmup_steps=50)


def _stfan() -> Recipe:
    return Recipe(
        name="stfan-plain",
        profile="paper",
        source="schedule of Zhou et al., ICCV 2019, section 5.1; the loss is not the paper's",
        losses=(("charbonnier", 1.0),),
        batch=1,
        crop_px=256,
        clip_frames=20,
        steps=900_000,
        schedule="step",
        milestones=(4 / 9, 8 / 9),
        decay=0.1,
        reversal=True,
    )


def edvr(profile: str) -> Recipe:
    """Charbonnier, Adam 4e-4, cosine with restarts in 600k steps; a second network on the frozen first.

    Source: Wang et al., CVPRW 2019, arXiv:1905.02716, section 4.1: batch 32, crops of 256 for deblurring, five frames,
    flips and rotations, reversal; the restarts after 50k, 150k, 300k and 450k steps and the lowest rate 1e-7 from the
    authors' configuration. Section 3.4: the second, smaller network takes what the first restored; it is trained here
    for the same schedule on the frozen first. Only a network with parts called stage1 and stage2 has that second stage
    in it, any other one is trained in the first and goes on in the second. Nine frames, of which a single network uses
    five.
    """
    first = Recipe(
        name="edvr",
        profile="paper",
        source="Wang et al., CVPRW 2019, sections 3.4 and 4.1",
        losses=(("charbonnier", 1.0),),
        batch=32,
        crop_px=256,
        clip_frames=9,
        steps=600_000,
        learning_rate=4e-4,
        schedule="cosine-restarts",
        milestones=(1 / 12, 3 / 12, 6 / 12, 9 / 12),
        least_rate=2.5e-4,  # 1e-7 / 4e-4
        flips=("horizontal", "vertical", "transpose"),
        reversal=True,
        frozen=("stage2.",),
    )
    second = replace(first, frozen=("stage1.",))
    if profile == "paper":
        return replace(second, steps=1_200_000, frozen=(), stages=(first, second))
    stages = (_quick_clip(first, steps=12, frames=9), _quick_clip(second, steps=6, frames=9))
    return quick_stages(first, (stages[0], replace(stages[1], starts_at_blur=False)))


def basicvsr(profile: str) -> Recipe:
    """Charbonnier, Adam 2e-4, cosine in 300k steps; the flow network at 2.5e-5, and frozen for the first 5000 steps.

    Source: Chan et al., CVPR 2021, arXiv:2012.02181, section 4 and the authors' configuration: batch 8, clips of 15
    frames, low-resolution crops of 64 (256 here: the deblurring networks see full size), betas 0.9 and 0.99, lowest
    rate 1e-7. Charbonnier's epsilon is 1e-3 here (theirs is smaller: differences below a quarter of a grey level).
    """
    paper = Recipe(
        name="basicvsr",
        profile="paper",
        source="Chan et al., CVPR 2021, section 4, and the authors' configuration",
        losses=(("charbonnier", 1.0),),
        batch=8,
        crop_px=256,
        clip_frames=15,
        steps=300_000,
        learning_rate=2e-4,
        least_rate=5e-4,  # 1e-7 / 2e-4
        betas=(0.9, 0.99),
        slow=(("spynet.", 0.125),),
        frozen=("spynet.",),
        frozen_until=5_000 / 300_000,
        flips=("horizontal", "vertical", "transpose"),
        reversal=True,
    )
    return paper if profile == "paper" else _quick_clip(paper, steps=24, frames=3)


def iconvsr(profile: str) -> Recipe:
    """`basicvsr`, with the features of the key frames (EDVR) at 1e-4 and frozen first like the flow network.

    Source: Chan et al., CVPR 2021, section 4. The authors start both parts from trained ones.
    """
    paper = replace(
        basicvsr("paper"),
        name="iconvsr",
        slow=(("spynet.", 0.125), ("edvr.", 0.5)),
        frozen=("spynet.", "edvr."),
    )
    return paper if profile == "paper" else _quick_clip(paper, steps=12, frames=5)


def estrnn(profile: str) -> Recipe:
    """Charbonnier of whole pixels on frames 3 to 6 of clips of eight, Adam, cosine from 5e-4 to 1e-8.

    Source: the authors' program (github.com/zzh-tech/ESTRNN, para/parameter.py at commit 22f3597): batch 8, crops of
    256, flips, 500 epochs. Their epoch goes through every run of eight frames of the training clips. They train on BSD,
    on GoPro reduced to 960 x 540, or on REDS. The papers (ECCV 2020, arXiv:2106.16028) were not read; earlier versions
    of the program have other defaults.
    """
    paper = Recipe(
        name="estrnn",
        profile="paper",
        source="authors' program, github.com/zzh-tech/ESTRNN at commit 22f3597",
        losses=(("charbonnier-colour", 1.0),),
        batch=8,
        crop_px=256,
        clip_frames=8,
        epochs=500,
        learning_rate=5e-4,
        least_rate=2e-5,  # 1e-8 / 5e-4
    )
    return paper if profile == "paper" else replace(quick(paper, steps=150, crop_px=64, clip_frames=6), least_rate=0.0)


def _quick_clip(paper: Recipe, *, steps: int, frames: int) -> Recipe:
    """The quick profile on crops that the deblurring networks of this family need: 132 px and more.

    At `quick`'s rate, in so few steps of one clip, they are thrown off and only find back to the blurred image
    (docs/log, 21).
    """
    short = quick(paper, steps=steps, crop_px=144, clip_frames=frames)
    return replace(short, batch=1, least_rate=0.0, warmup_steps=steps // 3, learning_rate=5e-5)
