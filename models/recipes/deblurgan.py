"""DeblurGAN, DeblurGAN-v2, its general restoration, and its generator under a plain loss."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import Adversary, Augmentation, Features, Recipe, quick, quick_terms

# The beginnings of the backbones' names in DeblurGAN-v2's generators.
BACKBONES = ("fpn.features.", "fpn.inception.", "fpn.enc")


def deblurgan(profile: str) -> Recipe:
    """WGAN-GP + 100 perceptual (VGG19 conv3_3).

    Source: Kupyn et al., CVPR 2018, arXiv:1711.07064, sections 3.2 and 5.1: batch 1, crops of 256, five critic updates
    a step on the same images, Adam 1e-4 for both, constant for 150 epochs, then down to zero in 150; gradient penalty
    10. The betas 0.5, 0.999 are the authors' program's. Features before the activation, as there. The critic looks at
    patches.
    """
    paper = Recipe(
        name="deblurgan",
        profile="paper",
        source="Kupyn et al., CVPR 2018, sections 3.2 and 5.1",
        losses=(),
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
        betas=(0.5, 0.999),
        features=Features(weight=100.0, layers=("conv3_3",)),
        adversary=Adversary(
            discriminator="deblurgan-discriminator",
            loss="wgan",
            weight=1.0,
            gradient_penalty=10.0,
            updates=5,
            betas=(0.5, 0.999),
        ),
        flips=("horizontal",),
    )
    return paper if profile == "paper" else quick_terms(paper, steps=48, crop_px=128)


def deblurgan_v2(profile: str) -> Recipe:
    """0.5 MSE + 0.006 perceptual (VGG19 conv3_3, before the activation) + 0.01 adversarial (RaGAN-LS).

    Source: Kupyn et al., ICCV 2019, arXiv:1908.03826, sections 3.3 and 4: Adam 1e-4 for both networks, constant for 150
    epochs, then down to zero in 150; crops of 256; batch 1. The discriminator's local and global outputs count half
    each, for both networks: the paper says only that both are there. Warm-up: the backbone is frozen for 3 epochs (1 in
    100; ImageNet's weights in it: --backbone FILE), as in the authors' configuration; the optimiser keeps its moments
    when it thaws, theirs starts anew. The MSE is taken on [-1, 1], the network's range. Training mix: every 2nd GoPro
    and DVD frame and every 10th NFS frame, which is --every 2,2,10 for the three folders in this order.
    """
    paper = _deblurgan_v2()
    return paper if profile == "paper" else quick_terms(paper, steps=90, crop_px=128)


def restore_mix(profile: str) -> Recipe:
    """DeblurGAN-v2's general restoration: its recipe on blurred images that are also noisy, compressed and enlarged.

    Source: Kupyn et al., ICCV 2019, section 4.4: 600 GoPro and 600 DVD images, Gaussian and speckle noise, JPEG and
    up-scaling artefacts through albumentations, split 8000 to 1200. Here the degradations are drawn anew for every
    sample (synth/degrade/restoration_mix.py) in place of a fixed set of 8000.
    """
    paper = replace(
        _deblurgan_v2(),
        name="restore-mix",
        source="Kupyn et al., ICCV 2019, section 4.4",
        augmentation=Augmentation(degrade="restore-mix"),
    )
    return paper if profile == "paper" else quick_terms(paper, steps=90, crop_px=128)


def _deblurgan_v2() -> Recipe:
    return Recipe(
        name="deblurgan-v2",
        profile="paper",
        source="Kupyn et al., ICCV 2019, sections 3.3 and 4",
        losses=(("mse", 0.5),),
        symmetric=True,
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
        frozen=BACKBONES,
        frozen_until=0.01,
        features=Features(weight=0.006, layers=("conv3_3",)),
        adversary=Adversary(discriminator="deblurgan-v2-discriminator", loss="ragan-ls", weight=0.01),
        flips=("horizontal",),
    )


def charbonnier(profile: str) -> Recipe:
    """DeblurGAN-v2's generator without its adversarial and perceptual terms: a Charbonnier loss alone.

    Source of batch, crop and schedule: Kupyn et al., ICCV 2019, section 4 and the authors' configuration: Adam 1e-4,
    constant for 150 epochs, then down to zero in 150; crops of 256. Differs from the paper in the loss.
    """
    paper = Recipe(
        name="charbonnier",
        profile="paper",
        source="schedule of Kupyn et al., ICCV 2019; the loss is not the paper's",
        losses=(("charbonnier", 1.0),),
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
    )
    return paper if profile == "paper" else quick(paper, steps=700, crop_px=128)
