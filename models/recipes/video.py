"""Networks for clips: STFAN, EDVR, BasicVSR and its relatives, ESTRNN."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import EDVR_EXTRACTOR, SPYNET, Augmentation, Features, Recipe, quick, quick_stages, quick_terms

ALL_FLIPS = ("horizontal", "vertical", "transpose")
PAPERS_LAYER = ("relu3_3",)
PROGRAMS_LAYERS = ("conv1_2", "conv2_2", "conv3_3")


def stfan(profile: str) -> Recipe:
    """Recurrent over clips of 20, one optimiser step a frame: MSE + 0.01 perceptual (VGG19 conv3_3 after its ReLU).

    Source: Zhou et al., ICCV 2019, arXiv:1904.12257, sections 4 and 5.1: random reversal, brightness and contrast in
    [0.8, 1.2], flips, crops of 256, Gaussian noise of sigma 0.01 of full scale, Adam 1e-4, divided by 10 every 400k of
    900k steps. Where the paper is silent, the authors' program (github.com/sczhou/STFAN, core/train.py 92-94, 132-135):
    every frame is an optimiser step of its own, the restored image is clamped and handed on without gradient, and so
    are the features; steps count frames. Kaiming's initialisation, which the paper names, lets this recurrence grow by
    1e7 a frame (docs/log, 7): Xavier's, which the program calls, stands in its place (core/build.py 56).
    """
    paper = replace(
        _stfan(),
        name="stfan",
        source="Zhou et al., ICCV 2019, sections 4 and 5.1",
        ours=False,
        variant="paper",
        networks=("stfan",),
        differs=("initialised as the program does (Xavier): Kaiming's normal form explodes",),
        losses=(("mse", 1.0),),
        features=Features(weight=0.01, layers=PAPERS_LAYER),
        augmentation=Augmentation(brightness=0.2, contrast=0.2, noise=0.01),
        step_per_frame=True,
        initialisation="xavier",
    )
    return paper if profile == "paper" else quick_terms(paper, steps=50, crop_px=64, clip_frames=3)


def stfan_code(profile: str) -> Recipe:
    """STFAN as its committed program trains it.

    Source: github.com/sczhou/STFAN, config.py (76: milestones), losses/multiscaleloss.py 20-23, core/build.py: 400
    epochs over the training clips, divided by 10 after 80, 160 and 250; conv1_2, conv2_2 and conv3_3 before the ReLU
    with weights 1, 0.2 and 0.04; brightness 0.2, contrast 0.15, saturation 0.3, hue 0.1; channels in a random order;
    Gaussian noise of up to 1e-4 (synth/degrade/steps.py).
    """
    code = replace(
        stfan("paper"),
        variant="code",
        source="github.com/sczhou/STFAN, config.py, core/train.py, core/build.py, losses/multiscaleloss.py",
        differs=("square crops of 320 px in place of 320 x 448",),
        crop_px=320,
        steps=0,
        epochs=400,
        milestones=(80 / 400, 160 / 400, 250 / 400),
        features=Features(weight=0.01, layers=PROGRAMS_LAYERS, layer_weights=(1.0, 0.2, 0.04)),
        augmentation=Augmentation(
            brightness=0.2, contrast=0.15, saturation=0.3, hue=0.1, shuffle=True, degrade="stfan-noise"
        ),
    )
    return code if profile == "paper" else quick_terms(code, steps=50, crop_px=64, clip_frames=3)


def stfan_plain(profile: str) -> Recipe:
    """STFAN with its mean squared error replaced by Charbonnier and without its perceptual term. Ours.

    Source of the rest: Zhou et al., ICCV 2019, section 5.1: clips of 20 frames, random reversal, flips, crops of 256,
    Adam 1e-4, divided by 10 every 400k of 900k steps. Differs from the paper in the loss, leaves out colour jitter and
    noise, and takes a step a clip, with the gradient through all of it.
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
        ours=True,
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


EDVR_DIFFERS = ("the authors' files are those of x4 super-resolution; here the same is said of deblurring",)


def edvr(profile: str) -> Recipe:
    """Charbonnier, Adam 4e-4: 600k steps without the attention over frames (TSA), then 600k with it, first it alone.

    Source: Wang et al., CVPRW 2019, arXiv:1905.02716, section 4.1, and the authors' toolbox (github.com/XPixelGroup/
    BasicSR, options/train/EDVR/train_EDVR_M_x4_SR_REDS_woTSA.yml and train_EDVR_M_x4_SR_REDS.yml): batch 32, crops of
    256, five frames of which the middle one is compared, flips and rotations, no reversal, betas 0.9 and 0.99, lowest
    rate 1e-7; cosines of 150k steps four times without the attention, of 50k, 100k and three times 150k with it, its
    parameters alone for the first 50k (tsa_iter). The blocks start from 0.1 times Kaiming's numbers.
    """
    return _edvr(profile, "edvr", ("edvr-m-x4",), ())


def edvr_l(profile: str) -> Recipe:
    """`edvr` for the large network, whose rate restarts at half. Source: train_EDVR_L_x4_SR_REDS.yml."""
    return _edvr(profile, "edvr-l", (), (1.0, 0.5, 0.5, 0.5, 0.5))


def _edvr(profile: str, name: str, networks: tuple[str, ...], weights: tuple[float, ...]) -> Recipe:
    without, with_attention = _edvr_stages(name, networks, weights)
    if profile == "paper":
        return replace(with_attention, steps=1_200_000, frozen=(), stages=(without, with_attention))
    stages = (_quick_clip(without, steps=12, frames=5), _quick_clip(with_attention, steps=6, frames=5))
    return quick_stages(without, (stages[0], replace(stages[1], starts_at_blur=False)))


def _edvr_stages(name: str, networks: tuple[str, ...], weights: tuple[float, ...]) -> tuple[Recipe, Recipe]:
    without = Recipe(
        name=name,
        profile="paper",
        source="Wang et al., CVPRW 2019, section 4.1, and the authors' configurations",
        networks=networks,
        differs=() if networks else EDVR_DIFFERS,
        losses=(("charbonnier-fine", 1.0),),
        batch=32,
        crop_px=256,
        clip_frames=5,
        steps=600_000,
        learning_rate=4e-4,
        schedule="cosine-restarts",
        milestones=(1 / 4, 2 / 4, 3 / 4),
        least_rate=2.5e-4,  # 1e-7 / 4e-4
        betas=(0.9, 0.99),
        flips=ALL_FLIPS,
        initialisation="small",
        bypassed=("fusion",),
    )
    with_attention = replace(
        without,
        milestones=(1 / 12, 3 / 12, 6 / 12, 9 / 12),
        restart_weights=weights,
        bypassed=(),
        renewed=("fusion.",),
        only=("fusion.",),
        only_until=50_000 / 600_000,
    )
    return without, with_attention


def edvr_two_stage(profile: str) -> Recipe:
    """`edvr-l`, then a second, smaller network on the frozen first.

    Source: Wang et al., CVPRW 2019, section 3.4: the second network takes what the first restored. It is trained here
    for the same schedule on the frozen first. Nine frames: five windows of the first, one of the second.
    """
    parts = _edvr_stages("edvr-two-stage", (), (1.0, 0.5, 0.5, 0.5, 0.5))
    first, second = (
        tuple(
            replace(
                part,
                differs=(*EDVR_DIFFERS, "the paper does not say how the second network is trained"),
                clip_frames=9,
                frozen=(other,),
                only=tuple(own + name for name in part.only),
                bypassed=tuple(own + name for name in part.bypassed),
                renewed=tuple(own + name for name in part.renewed),
            )
            for part in parts
        )
        for own, other in (("stage1.", "stage2."), ("stage2.", "stage1."))
    )
    if profile == "paper":
        return replace(second[1], steps=2_400_000, frozen=(), stages=(*first, *second))
    short = (_quick_clip(first[0], steps=12, frames=9), _quick_clip(second[0], steps=6, frames=9))
    return quick_stages(first[0], (short[0], replace(short[1], starts_at_blur=False)))


def basicvsr(profile: str) -> Recipe:
    """Charbonnier, Adam 2e-4, cosine in 300k steps; the flow network at 2.5e-5, and frozen for the first 5000 steps.

    Source: Chan et al., CVPR 2021, arXiv:2012.02181, section 4 and the authors' configuration (BasicSR, options/train/
    BasicVSR/train_BasicVSR_REDS.yml): batch 8, clips of 15 frames, crops of 256 (64 of the low-resolution frames),
    betas 0.9 and 0.99, lowest rate 1e-7, flips and rotations, no reversal; SPyNet's published weights (spynet_path);
    the blocks start from 0.1 times Kaiming's numbers; Charbonnier's epsilon squared is 1e-12.
    """
    paper = Recipe(
        name="basicvsr",
        profile="paper",
        source="Chan et al., CVPR 2021, section 4, and the authors' configuration",
        networks=("basicvsr-x4",),
        starts=(SPYNET,),
        losses=(("charbonnier-fine", 1.0),),
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
        flips=ALL_FLIPS,
        initialisation="small",
    )
    return paper if profile == "paper" else _quick_clip(paper, steps=24, frames=3)


def iconvsr(profile: str) -> Recipe:
    """`basicvsr`, with the features of the key frames (EDVR) at 1e-4 and frozen first like the flow network.

    Source: Chan et al., CVPR 2021, section 4, and train_IconVSR_REDS.yml (spynet_path, edvr_path). That the extractor
    learns at half of the rate is the paper's; the file has one factor for the flow alone.
    """
    paper = replace(
        basicvsr("paper"),
        name="iconvsr",
        networks=("iconvsr-x4",),
        starts=(SPYNET, EDVR_EXTRACTOR),
        slow=(("spynet.", 0.125), ("edvr.", 0.5)),
        frozen=("spynet.", "edvr."),
    )
    return paper if profile == "paper" else _quick_clip(paper, steps=12, frames=5)


def basicvsr_plus_plus(profile: str) -> Recipe:
    """BasicVSR++ for deblurring: Charbonnier, Adam 1e-4, cosine in 200k steps, clips of 30; the flow at a quarter.

    Source: the authors' configs/basicvsr_plusplus_deblur_gopro.py (github.com/ckkelvinchan/BasicVSR_PlusPlus; Chan et
    al., CVPR 2022, arXiv:2104.13371): batch 8 over 8 GPUs, crops of 256, flips and transposition, betas 0.9 and 0.99,
    lowest rate 1e-7, SPyNet's published weights, frozen for the first 5,000 steps (fix_iter).
    """
    paper = replace(
        basicvsr("paper"),
        name="basicvsr++",
        source="github.com/ckkelvinchan/BasicVSR_PlusPlus, configs/basicvsr_plusplus_deblur_gopro.py",
        variant="code",
        networks=("basicvsr++-deblur",),
        clip_frames=30,
        steps=200_000,
        learning_rate=1e-4,
        least_rate=1e-3,  # 1e-7 / 1e-4
        slow=(("spynet.", 0.25),),
        frozen_until=5_000 / 200_000,
    )
    return paper if profile == "paper" else _quick_clip(paper, steps=24, frames=3)


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
        variant="code",
        networks=("estrnn",),
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
