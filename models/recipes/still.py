"""Networks for one image without a discriminator: by a loss on pixels, or with a contrastive term.

`photographs` is no paper's: it is the recipe of the network that is kept in models/pretrained.
"""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import Augmentation, Contrast, Recipe, quick, quick_stages, quick_terms
from synth.live_exposures import LiveSettings

ALL_FLIPS = ("horizontal", "vertical", "transpose")


def nafnet(profile: str) -> Recipe:
    """Minus the PSNR, AdamW, cosine from 1e-3 to 1e-7 in 400k steps: width 64.

    Source: Chen et al., ECCV 2022, arXiv:2204.04676, section 5 and the authors' configuration for GoPro at width 64
    (options/train/GoPro/NAFNet-width64.yml): crops of 256 out of sub-images of 512, 64 in a batch over 8 GPUs (8
    each), AdamW with betas 0.9, 0.9 and weight decay 1e-3, flips and rotations, gradients clipped at 0.01. Batch 64 is
    said as one process has it: with torchrun give --batch 8 for each of 8. Differs: crops come from whole frames.
    """
    return _shortened_nafnet(_nafnet(), profile)


def nafnet_32(profile: str) -> Recipe:
    """`nafnet` at width 32: batch 32 (4 on each of 8 GPUs), 200k steps, no weight decay.

    Source: options/train/GoPro/NAFNet-width32.yml of github.com/megvii-research/NAFNet at commit 01a4c86.
    """
    paper = replace(
        _nafnet(),
        name="nafnet-32",
        source="github.com/megvii-research/NAFNet, options/train/GoPro/NAFNet-width32.yml",
        networks=("nafnet-32",),
        batch=32,
        steps=200_000,
        weight_decay=0.0,
    )
    return _shortened_nafnet(paper, profile)


def _nafnet() -> Recipe:
    return Recipe(
        name="nafnet",
        profile="paper",
        source="Chen et al., ECCV 2022, section 5, and the authors' GoPro configuration",
        networks=("nafnet-64",),
        differs=("crops come from whole frames, not from sub-images of 512 px",),
        losses=(("psnr", 1.0),),
        batch=64,
        crop_px=256,
        steps=400_000,
        optimiser="adamw",
        learning_rate=1e-3,
        least_rate=1e-4,  # 1e-7 / 1e-3
        betas=(0.9, 0.9),
        weight_decay=1e-3,
        gradient_clip=0.01,
        flips=ALL_FLIPS,
    )


def _shortened_nafnet(paper: Recipe, profile: str) -> Recipe:
    if profile == "paper":
        return paper
    return replace(quick(paper, steps=240, crop_px=64), least_rate=0.0, weight_decay=1e-3)


def deepdeblur(profile: str) -> Recipe:
    """Multi-scale L1, Adam 1e-4, halved at 500, 750 and 900 of 1000 epochs.

    Source: the authors' PyTorch release (github.com/SeungjunNah/DeepDeblur-PyTorch), which trains so without the
    paper's adversarial term and multi-scale MSE (Nah et al., CVPR 2017, arXiv:1612.02177): batch 16, crops of 256,
    flips and rotations, the folder blur_gamma, channels in a random order, saturation changed by up to half. Left out:
    its noise on the input.
    """
    paper = Recipe(
        name="deepdeblur",
        profile="paper",
        source="Nah et al., CVPR 2017, as the authors' PyTorch release trains it",
        variant="code",
        networks=("deepdeblur",),
        differs=("without the release's noise on the input",),
        losses=(("l1", 1.0),),
        batch=16,
        crop_px=256,
        epochs=1000,
        schedule="step",
        milestones=(0.5, 0.75, 0.9),
        flips=ALL_FLIPS,
        augmentation=Augmentation(shuffle=True, saturation=0.5),
        gopro_input="blur_gamma",
    )
    if profile == "paper":
        return paper
    return replace(quick(paper, steps=60, crop_px=64), augmentation=Augmentation())


def srn(profile: str) -> Recipe:
    """Squared differences at three scales, Adam 1e-4 down to zero with the power 0.3, Xavier's initialisation.

    Source: Tao et al., CVPR 2018, arXiv:1802.01770, section 4, and the authors' program (github.com/jiangsutx/
    SRN-Deblur, models/model.py and run_model.py): batch 16, crops of 256 without flips, uniform Xavier initialisation,
    biases zero; the paper trains 2,000 epochs down to 1e-6, the program 4,000 down to zero.
    """
    return _srn(profile, epochs=2000, variant="paper", least_rate=0.01)


def srn_code(profile: str) -> Recipe:
    """`srn` for 4,000 epochs, the rate down to zero. Source: run_model.py of the authors' program."""
    return _srn(profile, epochs=4000, variant="code", least_rate=0.0)


def _srn(profile: str, *, epochs: int, variant: str, least_rate: float) -> Recipe:
    paper = Recipe(
        name="srn",
        profile="paper",
        source="Tao et al., CVPR 2018, section 4, and the authors' program",
        variant=variant,
        networks=("srn",),
        losses=(("mse", 1.0),),
        batch=16,
        crop_px=256,
        epochs=epochs,
        learning_rate=1e-4,
        schedule="polynomial",
        power=0.3,
        least_rate=least_rate,
        flips=(),
        initialisation="xavier",
    )
    return paper if profile == "paper" else replace(quick(paper, steps=60, crop_px=64), least_rate=0.0)


def dmphn(profile: str) -> Recipe:
    """MSE of the last level, Adam 1e-4, divided by 10 every 1,000 epochs.

    Source: Zhang et al., CVPR 2019, arXiv:1904.03468, section 4, and the authors' DMPHN_1_2_4.py (github.com/
    HongguangZhang/DMPHN-cvpr19-master): batch 6, crops of 256, 3,000 epochs; normal initialisation of half of He's
    deviation over the outputs, biases zero; no flips.
    """
    return _dmphn(profile, epochs=3000, batch=6, variant="paper")


def dmphn_code(profile: str) -> Recipe:
    """`dmphn` with the program's defaults: 2,400 epochs, batch 2. Source: DMPHN_1_2_4.py 18-20."""
    return _dmphn(profile, epochs=2400, batch=2, variant="code")


def _dmphn(profile: str, *, epochs: int, batch: int, variant: str) -> Recipe:
    paper = Recipe(
        name="dmphn",
        profile="paper",
        source="Zhang et al., CVPR 2019, section 4, and the authors' DMPHN_1_2_4.py",
        variant=variant,
        networks=("dmphn-1-2-4",),
        losses=(("mse", 1.0),),
        batch=batch,
        crop_px=256,
        epochs=epochs,
        schedule="step",
        milestones=(1000 / epochs, 2000 / epochs),
        decay=0.1,
        flips=(),
        initialisation="dmphn",
    )
    return paper if profile == "paper" else quick(paper, steps=60, crop_px=64)


def mprnet(profile: str) -> Recipe:
    """Charbonnier + 0.05 edges of the images of all three stages; Adam, cosine from 2e-4 to 1e-6 in 3,000 epochs.

    Source: Zamir et al., CVPR 2021, arXiv:2102.02808, section 4.2, and the authors' Deblurring/training.yml
    (github.com/swz30/MPRNet): batch 16, crops of 256, flips and quarter turns, a warm-up of three epochs (396 steps of
    GoPro's 2,103 pairs).
    """
    paper = Recipe(
        name="mprnet",
        profile="paper",
        source="Zamir et al., CVPR 2021, section 4.2, and the authors' Deblurring/training.yml",
        networks=("mprnet",),
        losses=(("charbonnier", 1.0), ("edge", 0.05)),
        batch=16,
        crop_px=256,
        epochs=3000,
        learning_rate=2e-4,
        least_rate=5e-3,  # 1e-6 / 2e-4
        warmup_steps=396,
        flips=ALL_FLIPS,
    )
    return paper if profile == "paper" else replace(quick(paper, steps=40, crop_px=64), least_rate=0.0)


def restormer(profile: str) -> Recipe:
    """L1, AdamW, 3e-4 for 92k steps and then a cosine to 1e-6, on crops that grow from 128 to 384; 300k steps.

    Source: Zamir et al., CVPR 2022, arXiv:2111.09881, section 4, and the authors' Motion_Deblurring/Options/
    Deblurring_Restormer.yml (github.com/swz30/Restormer): crops of 128, 160, 192, 256, 320 and 384 for 92k, 64k, 48k,
    36k, 36k and 24k steps, 64, 40, 32, 16, 8 and 8 in a batch over 8 GPUs; betas 0.9 and 0.999, weight decay 1e-4,
    gradients clipped at 0.01, flips and quarter turns. Batches are said as one process has them.
    """
    paper = Recipe(
        name="restormer",
        profile="paper",
        source="Zamir et al., CVPR 2022, section 4, and the authors' Deblurring_Restormer.yml",
        networks=("restormer",),
        losses=(("l1", 1.0),),
        batch=64,
        crop_px=128,
        steps=300_000,
        pieces=(
            (92_000, 64, 128),
            (64_000, 40, 160),
            (48_000, 32, 192),
            (36_000, 16, 256),
            (36_000, 8, 320),
            (24_000, 8, 384),
        ),
        optimiser="adamw",
        learning_rate=3e-4,
        schedule="held-cosine",
        milestones=(92 / 300,),
        least_rate=1 / 300,  # 1e-6 / 3e-4
        betas=(0.9, 0.999),
        weight_decay=1e-4,
        gradient_clip=0.01,
        flips=ALL_FLIPS,
    )
    return paper if profile == "paper" else replace(quick(paper, steps=40, crop_px=64), least_rate=0.0)


def highres_atrous(profile: str) -> Recipe:
    """L1 in RGB, Adam 1e-4 divided by 10 in steps: the first network, alone, for 2.5 M steps at batch 1.

    Source: the high-resolution atrous network's description: crops of 320, about 2.5 M steps for either stage,
    independently of the other, small changes of brightness, hue, saturation and contrast, flips and rotations. Not in
    it, ours: the rate falls at a half and three quarters of a stage, the sizes of the changes of colour.
    """
    first, _ = _highres("highres-atrous", clip_frames=1)
    if profile == "paper":
        return first
    # As the two parts of earlier quick trainings, so that they stay what they are.
    return _quick_highres(first, replace(first, batch=2), lengths=(12, 8), rate=1e-4)


def highres_mlfa(profile: str) -> Recipe:
    """The same for the network that adds multi-level feature aggregation: 2.5 M steps each, batch 1, then batch 2.

    Source: as `highres_atrous`. Clips of five frames, one window. In the first part the second stage learns along, on a
    first one that still moves; its loss does not reach the first. --backbone FILE puts a trained highres-atrous there
    and leaves that part out, which is the description's way.
    """
    first, second = _highres("highres-mlfa", clip_frames=5)
    if profile == "paper":
        return replace(second, steps=5_000_000, frozen=(), stages=(first, second))
    return _quick_highres(first, second, lengths=(5, 4), rate=5e-5)  # above it so few steps throw them off


def _highres(name: str, clip_frames: int) -> tuple[Recipe, Recipe]:
    first = Recipe(
        name=name,
        profile="paper",
        source="high-resolution processing with atrous convolutions and feature aggregation, training section",
        networks=(name,),
        differs=("when the rate falls and how far colours change are not said, and ours",),
        losses=(("l1", 1.0),),
        batch=1,
        crop_px=320,
        clip_frames=clip_frames,
        steps=2_500_000,
        schedule="step",
        milestones=(0.5, 0.75),
        decay=0.1,
        flips=ALL_FLIPS,
        augmentation=Augmentation(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02),
    )
    return first, replace(first, batch=2, frozen=("first_stage.",))


def _quick_highres(first: Recipe, second: Recipe, *, lengths: tuple[int, int], rate: float) -> Recipe:
    shown = min(3, first.clip_frames)  # two cores need more than a second for a frame of 64 px
    stages = tuple(
        replace(quick(part, steps=steps, crop_px=64, clip_frames=shown), learning_rate=rate)
        for part, steps in zip((first, second), lengths, strict=True)
    )
    return quick_stages(first, (stages[0], replace(stages[1], starts_at_blur=False)))


def mimo_unet(profile: str) -> Recipe:
    """Multi-scale content + 0.1 multi-scale frequency reconstruction loss.

    Source: Cho et al., ICCV 2021, section 4.1: batch 4, crops of 256, random horizontal flips, Adam, 1e-4, halved every
    500 of 3000 epochs. Quick differs: see base.py.
    """
    paper = _paper()
    return paper if profile == "paper" else quick(paper, steps=300, crop_px=64)


def mimo_unet_contrastive_average(profile: str) -> Recipe:
    """`mimo-unet-contrastive` with the other reading of negatives that grow sharper: earlier outputs of the network.

    The mixture of the blurred and the sharp image holds a ghost of the positive; an output of the network's running
    average, kept at the end of the interval before, is sharper than the one before that and holds none. Four intervals,
    the first with the blurred image. Source and the rest: as there; both readings are ours, the thesis' abstract
    allows either.
    """
    paper = mimo_unet_contrastive("paper")
    assert paper.contrast is not None
    paper = replace(
        paper,
        name="mimo-unet-contrastive-average",
        contrast=replace(paper.contrast, reading="average"),
        differs=("the thesis gives no constant: form and weights are AECR-Net's", "negatives: earlier outputs"),
    )
    return paper if profile == "paper" else replace(quick_terms(paper, steps=180, crop_px=64), starts_at_blur=False)


def mimo_unet_contrastive(profile: str) -> Recipe:
    """`mimo-unet` + 0.1 contrastive loss in VGG19's feature space, with negatives that grow sharper.

    Source: Jan, "Contrastive Learning Aided Image Deblurring", master's thesis, National Central University, 2022 (its
    abstract only was read): anchor the restored image, positive the sharp one, negatives made from the blurred one,
    sharper from one interval of epochs to the next. The constants are not in it and are derived here:
    - the form of the loss, its layers, their weights and 0.1 from AECR-Net (Wu et al., CVPR 2021, arXiv:2104.09367),
      which the thesis builds on;
    - the negative is blur + share * (sharp - blur). A negative must stay further from the sharp image than the anchor,
      or the loss pushes the wrong way. MIMO-UNet gains 6.1 dB on GoPro (25.64 to 31.73), so that its error ends at half
      of the blur's, and a share must stay below 1/2: four intervals of 750 epochs with 0, 1/8, 2/8, 3/8.
    Quick does not start at the blurred image: that is the first negative, and the loss divides by the distance to it
    (docs/log, 12: 2.3 dB lost).
    """
    paper = replace(
        _paper(),
        name="mimo-unet-contrastive",
        source="Jan, master's thesis, NCU 2022 (abstract), with constants of AECR-Net, CVPR 2021",
        differs=(
            "the thesis gives no constant: form and weights are AECR-Net's",
            "negatives: mixtures of the blurred and the sharp image",
        ),
        contrast=Contrast(
            weight=0.1,
            layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
            layer_weights=(1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0),
            shares=(0.0, 1 / 8, 2 / 8, 3 / 8),
        ),
    )
    return paper if profile == "paper" else replace(quick_terms(paper, steps=180, crop_px=64), starts_at_blur=False)


def _paper() -> Recipe:
    return Recipe(
        name="mimo-unet",
        profile="paper",
        source="Cho et al., ICCV 2021, section 4.1",
        networks=("mimo-unet", "mimo-unet-plus"),
        losses=(("l1", 1.0), ("mimo-frequency", 0.1)),
        batch=4,
        crop_px=256,
        epochs=3000,
        schedule="step",
        milestones=(1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6),
        flips=("horizontal",),
    )


def photographs(profile: str) -> Recipe:
    """Minus the PSNR up to 40 dB, Adam, cosine from 1e-3 to zero, crops of 128, batch 8.

    Source: ours. The loss counts every crop alike, however strong its blur is; crops above 40 dB do not lead. Half of
    the samples are shown through other camera responses, so that blur averaged as pixel values (GoPro's) is seen as
    well as blur averaged as light; an average of the weights over about 1000 steps is what is kept. Made for
    `synth/make_pairs.py photos`; fits every network for single images.
    """
    full = Recipe(
        name="photographs",
        profile="paper",
        source="ours, for pairs of photographs (docs/log)",
        ours=True,
        losses=(("psnr-40", 1.0),),
        batch=8,
        crop_px=128,
        steps=16_000,
        learning_rate=1e-3,
        warmup_steps=200,
        ema_decay=0.999,
        gradient_clip=1.0,
        flips=("horizontal", "vertical", "transpose"),
        response_share=0.5,
        starts_at_blur=True,
        checkpoint_every=500,
        validate_every=1000,
    )
    return full if profile == "paper" else quick(full, steps=600, crop_px=128)


def uformer(profile: str) -> Recipe:
    """Charbonnier, AdamW, cosine from 2e-4 to 1e-6 in 3,000 epochs after three epochs of warm-up.

    Source: the authors' script and program for motion blur (github.com/ZhendongWang6/Uformer at commit 4ce7d9b:
    script/train_motiondeblur.sh, train/train_motiondeblur.py, options.py): crops of 256, batch 8 over two GPUs, betas
    0.9, 0.999, weight decay 0.02, half precision, flips and quarter turns, stochastic depth up to 0.1, the best of
    many validations kept. Their default batch is 32, and so, from memory, is the paper's (Wang et al., CVPR 2022,
    arXiv:2106.03106). In training the network is built for crops of 256, in their tests for 128: see
    models/nets/uformer.py. The warm-up is that of 2,103 pairs: 263 steps an epoch.
    """
    paper = Recipe(
        name="uformer",
        profile="paper",
        source="the authors' programs at commit 4ce7d9b",
        variant="code",
        networks=("uformer-b",),
        losses=(("charbonnier", 1.0),),
        batch=8,
        crop_px=256,
        epochs=3000,
        optimiser="adamw",
        learning_rate=2e-4,
        warmup_steps=789,
        least_rate=5e-3,  # 1e-6 / 2e-4
        betas=(0.9, 0.999),
        weight_decay=0.02,
        flips=("horizontal", "vertical", "transpose"),
    )
    return paper if profile == "paper" else replace(quick(paper, steps=40, crop_px=128), least_rate=0.0)


def maxim(profile: str) -> Recipe:
    """Charbonnier plus 0.1 times the L1 of Fourier coefficients, at three scales of three stages; Adam, cosine.

    Source: Tu et al., CVPR 2022, arXiv:2201.02973, sections 3.4 and 4.1; the authors published no training program.
    From memory, not read again: crops of 256, 2e-4 down to 1e-7, flips and quarter turns, MixUp for half of the
    samples (left out here). Not known here, and ours: batch and number of steps (those of NAFNet at width 64).
    """
    paper = Recipe(
        name="maxim",
        profile="paper",
        source="Tu et al., CVPR 2022, sections 3.4 and 4.1; batch and steps are not the paper's",
        networks=("maxim-3s",),
        differs=("batch and number of steps are not known here: those of NAFNet at width 64", "without MixUp"),
        losses=(("charbonnier", 1.0), ("mimo-frequency", 0.1)),
        batch=64,
        crop_px=256,
        steps=400_000,
        learning_rate=2e-4,
        least_rate=5e-4,  # 1e-7 / 2e-4
        flips=("horizontal", "vertical", "transpose"),
    )
    return paper if profile == "paper" else replace(quick(paper, steps=40, crop_px=64), least_rate=0.0)


def deeprft(profile: str) -> Recipe:
    """Charbonnier + 0.05 edges + 0.01 Fourier transform, each at three scales; Adam, cosine from 2e-4 to 1e-6.

    Source: the authors' program (github.com/INVOKERer/DeepRFT, train.py at commit 127f92a): batch 16, crops of 256,
    3000 epochs of GoPro's 2,103 pairs, a warm-up of three epochs (396 steps of 16), flips and quarter turns. Theirs
    change the saturation of one sample in three by up to 0.2. They train the form
    `deeprft-doconv`; `deeprft` is trained as plain convolutions. The paper (arXiv:2111.11745) was not read; which
    rate, batch and weights it says is not known here.
    """
    paper = Recipe(
        name="deeprft",
        profile="paper",
        source="authors' program, github.com/INVOKERer/DeepRFT at commit 127f92a",
        variant="code",
        networks=("deeprft-doconv", "deeprft"),
        losses=(("charbonnier", 1.0), ("edge", 0.05), ("frequency", 0.01)),
        batch=16,
        crop_px=256,
        epochs=3000,
        learning_rate=2e-4,
        least_rate=5e-3,  # 1e-6 / 2e-4
        warmup_steps=396,
        flips=("horizontal", "vertical", "transpose"),
        augmentation=Augmentation(saturation=0.2, saturation_share=1 / 3),
    )
    return paper if profile == "paper" else replace(quick(paper, steps=240, crop_px=64), least_rate=0.0)


def motion_unet(profile: str) -> Recipe:
    """Minus the PSNR up to 40 dB, and twice the error of the told motion; AdamW 7e-4, constant, then a short decay.

    Source: ours, for the networks that tell the motion (docs/decisions/019-motion-unet.md), on blur drawn live from
    --sharp and --frames. Batch 8, crops of 192, gradients clipped at 5, an average of the weights over 2,000 steps.
    First straight blur of 4 to 18 px and nothing else, then all kinds of 1 to 60 px.
    """
    kinds = LiveSettings(extent_px=(1.0, 60.0), encoded=0.6, soft=0.12)
    straight = LiveSettings(
        extent_px=(4.0, 18.0),
        duration_s=(0.004, 0.03),
        paths=0.0,
        foreground=0.0,
        parallax=0.0,
        rolling=0.0,
        highlights=0.0,
        soft=0.0,
        noise=0.0,
        jpeg=0.0,
    )
    second = Recipe(
        name="motion-unet",
        profile="paper",
        source="ours (docs/decisions/019-motion-unet.md)",
        ours=True,
        losses=(("psnr-40", 1.0),),
        motion=2.0,
        batch=8,
        crop_px=192,
        steps=30_000,
        optimiser="adamw",
        learning_rate=7e-4,
        warmup_steps=300,
        schedule="linear",
        milestones=(0.85,),
        betas=(0.9, 0.99),
        weight_decay=1e-4,
        ema_decay=0.9995,
        gradient_clip=5.0,
        starts_at_blur=True,
        checkpoint_every=500,
        validate_every=1000,
        live=kinds,
    )
    first = replace(second, steps=1500, schedule="step", milestones=(), live=straight)
    full = replace(second, steps=31_500, stages=(first, replace(second, starts_at_blur=False)))
    return full if profile == "paper" else quick(second, steps=150, crop_px=128)


def motion_unet_more(profile: str) -> Recipe:
    """What `motion-unet` ends with, for weights that are trained already (--start): no straight blur alone, and half
    of the steps are the decay. Source: ours."""
    last = motion_unet("paper").stages[-1]
    more = replace(last, name="motion-unet-more", steps=1500, milestones=(0.5,))
    return more if profile == "paper" else quick(more, steps=150, crop_px=128)


def motion_unet_last(profile: str) -> Recipe:
    """Trained weights again (--start): only the layers behind the told motion and offset, on few large crops.

    A large crop shows more of what a neighbourhood shares. What those layers are told is as it will be in use.
    Source: ours (docs/log/kept-network.md, 32).
    """
    more = motion_unet_more("paper")
    live = replace(more.live, duration_s=(0.02, 0.1))
    last = replace(
        more,
        name="motion-unet-last",
        only=("weigh.", "weigh_again.", "detail.", "motion_detail.", "head."),
        motion=0.0,
        batch=3,
        crop_px=320,
        learning_rate=4e-4,
        warmup_steps=40,
        milestones=(0.4,),
        ema_decay=0.99,
        live=live,
    )
    return last if profile == "paper" else quick(last, steps=150, crop_px=128)
