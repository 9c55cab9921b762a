"""GFPGAN: faces."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import STYLEGAN2, Adversary, Augmentation, FaceTerms, Features, Recipe, quick_terms


def gfpgan(profile: str) -> Recipe:
    """0.1 L1 + pyramid L1 + perceptual + 0.1 adversarial + eyes and mouth (adversarial, 200 style) + 10 identity.

    Source: Wang et al., CVPR 2021, arXiv:2101.04061, sections 3.2, 3.4 and 4.1: batch 12, aligned faces of 512 px in
    [-1, 1], flips, degradations drawn for every sample (synth/degrade/gfpgan.py), Adam 2e-3, halved at 700k and 750k of
    800k steps; a trained StyleGAN2 as its decoder. From the authors' configuration (github.com/TencentARC/GFPGAN,
    options/train_gfpgan_v1.yml), where the paper is silent: the decoder is frozen (fix_decoder); betas (0, 0.99), of
    the component discriminators (0.9, 0.99); VGG19's conv1_2 to conv5_4 before the activation in L1 with weights 0.1,
    0.1, 1, 1, 1; the pyramid term for the first 50k steps only; R1 with weight 10 every 16th step, on [-1, 1]; style on
    two layers with weights 0.5 and 1; a moving average that halves in 312 steps.

    The training set (FFHQ in the paper) is a folder of aligned square faces, or a manifest whose sharp images are
    them; the input is made of the sharp one. Where the eyes and mouths are says landmarks.jsonl in the folder, or the
    face detector finds them: models/face_boxes.py.
    """
    return _shortened(_gfpgan(), profile)


def gfpgan_code(profile: str) -> Recipe:
    """GFPGAN as its committed configuration trains it.

    Source: github.com/TencentARC/GFPGAN, options/train_gfpgan_v1.yml: halved at 600k and 700k, Gram matrices of the
    perceptual layers with weight 50.
    """
    paper = _gfpgan()
    assert paper.features is not None
    code = replace(
        paper,
        variant="code",
        source="github.com/TencentARC/GFPGAN, options/train_gfpgan_v1.yml",
        milestones=(6 / 8, 7 / 8),
        features=replace(paper.features, gram=50.0),
        differs=("the paper's ranges of degradations", "without the second jitter of colours and without grey inputs"),
    )
    return _shortened(code, profile)


def _gfpgan() -> Recipe:
    return Recipe(
        name="gfpgan",
        profile="paper",
        source="Wang et al., CVPR 2021, sections 3 and 4.1, and the authors' configuration",
        variant="paper",
        networks=("gfpgan",),
        starts=(STYLEGAN2,),
        frozen=("stylegan_decoder.",),
        losses=(("l1", 0.1),),
        symmetric=True,
        batch=12,
        crop_px=512,
        steps=800_000,
        learning_rate=2e-3,
        schedule="step",
        milestones=(7 / 8, 15 / 16),
        betas=(0.0, 0.99),
        ema_decay=0.5 ** (32 / 10_000),
        features=Features(
            weight=1.0,
            layers=("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"),
            layer_weights=(0.1, 0.1, 1.0, 1.0, 1.0),
            distance="l1",
        ),
        adversary=Adversary(
            discriminator="stylegan2-discriminator",
            loss="gan",
            weight=0.1,
            learning_rate=2e-3,
            betas=(0.0, 0.99),
            r1=10.0,
        ),
        faces=FaceTerms(
            pyramid=1.0,
            pyramid_until=50_000 / 800_000,
            component=Adversary(
                discriminator="facial-component-discriminator",
                loss="gan",
                weight=1.0,
                learning_rate=2e-3,
                betas=(0.9, 0.99),
            ),
            style=200.0,
            identity=10.0,
        ),
        flips=("horizontal",),
        augmentation=Augmentation(degrade="gfpgan", from_sharp=True),
    )


def _shortened(paper: Recipe, profile: str) -> Recipe:
    if profile == "paper":
        return paper
    assert paper.faces is not None
    # The pyramid term stays to the end: a quick training never leaves the part that it is meant for.
    whole = replace(paper, faces=replace(paper.faces, pyramid_until=1.0))
    # Without a trained prior and with its first moment at 0, Adam's paces throw the wide decoder off from 5e-5 on.
    short = quick_terms(whole, steps=QUICK_STEPS, crop_px=512, rate=2e-5)
    return replace(short, batch=1, warmup_steps=2, flips=("horizontal",), frozen=())


QUICK_STEPS = 6
