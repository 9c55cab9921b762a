"""ESRGAN and Real-ESRGAN: a stage for the PSNR, then a stage with a discriminator.

The weights after the first stage are kept as stage-1.safetensors; `models/weights.py interpolate` mixes the two
networks.
"""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import ESRGAN_X4, Adversary, Augmentation, Features, Recipe, quick, quick_stages, quick_terms

ALL_FLIPS = ("horizontal", "vertical", "transpose")
BICUBIC = Augmentation(from_sharp=True, reduced_by="bicubic")


def esrgan(profile: str) -> Recipe:
    """Stage 1: L1. Stage 2: L1 * 0.01 + perceptual before the activation + 0.005 relativistic average GAN.

    Source: Wang et al., ECCVW 2018, arXiv:1809.00219, sections 3.2, 3.3 and 4.1: batch 16, crops of 128; stage 1 Adam
    2e-4, halved every 200k steps, 1 M of them (the authors' configuration); stage 2 Adam 1e-4, halved at 50k, 100k,
    200k and 300k of 400k; betas 0.9 and 0.999; perceptual: L1 of VGG19's conv5_4; small initialisation (0.1 times
    Kaiming's in the dense blocks). The discriminator's loss is the paper's sum, its program's is half of it: the
    learning rate of Adam does not depend on that. The input is the sharp crop, reduced as MATLAB's bicubic does.
    """
    psnr = Recipe(
        name="esrgan",
        profile="paper",
        variant="paper",
        networks=("esrgan-x4",),
        source="Wang et al., ECCVW 2018, sections 3 and 4.1",
        losses=(("l1", 1.0),),
        batch=16,
        crop_px=128,
        steps=1_000_000,
        learning_rate=2e-4,
        schedule="step",
        milestones=(0.2, 0.4, 0.6, 0.8),
        flips=ALL_FLIPS,
        initialisation="small",
        augmentation=BICUBIC,
    )
    gan = replace(
        psnr,
        losses=(("l1", 0.01),),
        steps=400_000,
        learning_rate=1e-4,
        milestones=(0.125, 0.25, 0.5, 0.75),
        features=Features(weight=1.0, layers=("conv5_4",), distance="l1"),
        adversary=Adversary(discriminator="vgg-style-discriminator-128", loss="ragan", weight=0.005),
    )
    if profile == "paper":
        return replace(gan, steps=1_400_000, stages=(psnr, gan))
    return _quick_esrgan(psnr, gan)


def esrgan_code(profile: str) -> Recipe:
    """ESRGAN as the configurations of its authors' toolbox train it.

    Source: github.com/XPixelGroup/BasicSR, options/train/ESRGAN/train_RRDBNet_PSNR_x4.yml and train_ESRGAN_x4.yml: the
    first stage goes down by a cosine to 1e-7 four times in 250k steps, betas 0.9 and 0.99, in the second stage a moving
    average of 0.999. Its "vanilla" is the criterion of which its model makes the relativistic loss.
    """
    psnr, gan = esrgan("paper").stages
    assert gan.adversary is not None
    source = "github.com/XPixelGroup/BasicSR, options/train/ESRGAN"
    psnr = replace(
        psnr,
        variant="code",
        source=source,
        schedule="cosine-restarts",
        milestones=(0.25, 0.5, 0.75),
        least_rate=5e-4,  # 1e-7 / 2e-4
        betas=(0.9, 0.99),
    )
    gan = replace(
        gan,
        variant="code",
        source=source,
        betas=(0.9, 0.99),
        ema_decay=0.999,
        adversary=replace(gan.adversary, betas=(0.9, 0.99)),
    )
    if profile == "paper":
        return replace(gan, steps=1_400_000, stages=(psnr, gan))
    return _quick_esrgan(psnr, gan)


def _quick_esrgan(psnr: Recipe, gan: Recipe) -> Recipe:
    stages = (quick(psnr, steps=32, crop_px=64), _short(gan, steps=8, crop_px=128))
    # Of blurred pairs, as every quick training of the benchmark.
    return quick_stages(psnr, tuple(replace(stage, augmentation=Augmentation()) for stage in stages))


def real_esrgan(profile: str) -> Recipe:
    """Stage 1: L1. Stage 2: L1 + perceptual (five layers) + 0.1 GAN with a U-Net discriminator under spectral norm.

    Source: Wang et al., ICCVW 2021, arXiv:2107.10833, sections 3 and 4.1, and the authors' configurations (BasicSR,
    options/train/RealESRGAN/train_realesrnet_x4plus.yml and train_realesrgan_x4plus.yml) and model: batch 48, crops of
    256, mirrored left to right alone (use_rot is off); stage 1 Adam 2e-4 for 1 M steps, from ESRGAN's weights; stage 2
    Adam 1e-4 for 400k; betas 0.9 and 0.99; moving average 0.999; VGG19's conv1_2 to conv5_4 before the activation,
    weights 0.1, 0.1, 1, 1, 1. Second-order degradations are drawn for every sample and made of the target, which is
    sharpened; the second of them and JPEG come at the input's size, a quarter (realesrgan_model.py 125-163). The L1 and
    perceptual terms see the sharpened target, the discriminator the plain one (gan_gt_usm is off). The pool of 180
    pairs, which mixes the kinds of degradation in a batch, is here an order: a sample is one of the last 180, so that
    any step can be made again from its number.
    """
    plain = Recipe(
        name="real-esrgan",
        profile="paper",
        networks=("real-esrgan-x4",),
        source="Wang et al., ICCVW 2021, sections 3 and 4.1, and the authors' configurations",
        differs=("the pool of 180 pairs is an order: a sample is one of the last 180",),
        starts=(ESRGAN_X4,),
        losses=(("l1", 1.0),),
        batch=48,
        crop_px=256,
        steps=1_000_000,
        learning_rate=2e-4,
        betas=(0.9, 0.99),
        schedule="step",
        ema_decay=0.999,
        flips=("horizontal",),
        initialisation="small",
        augmentation=Augmentation(degrade="real-esrgan", from_sharp=True, sharpen=True, input_sharpened=True, pool=180),
    )
    gan = replace(
        plain,
        steps=400_000,
        learning_rate=1e-4,
        features=Features(
            weight=1.0,
            layers=("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4"),
            layer_weights=(0.1, 0.1, 1.0, 1.0, 1.0),
            distance="l1",
        ),
        adversary=Adversary(
            discriminator="unet-discriminator-sn", loss="gan", weight=0.1, betas=(0.9, 0.99), sees_plain=True
        ),
    )
    if profile == "paper":
        return replace(gan, steps=1_400_000, stages=(plain, gan))
    first = replace(quick(plain, steps=32, crop_px=64), response_share=0.0)
    return quick_stages(plain, (first, _short(gan, steps=16, crop_px=64)))


def _short(gan: Recipe, *, steps: int, crop_px: int) -> Recipe:
    return replace(quick_terms(gan, steps=steps, crop_px=crop_px, rate=2e-5), starts_at_blur=False)
