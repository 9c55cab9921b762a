"""DeblurGAN, DeblurGAN-v2, its general restoration, and its generator under a plain loss."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.base import INCEPTION, MOBILENET, Adversary, Augmentation, Features, Recipe, quick, quick_terms

# The beginnings of the backbones' names in DeblurGAN-v2's generators.
BACKBONES = ("fpn.features.", "fpn.inception.", "fpn.enc")
V2_NETWORKS = ("deblurgan-v2-inception", "deblurgan-v2-mobilenet", "deblurgan-v2-mobilenet-dsc")


def deblurgan(profile: str) -> Recipe:
    """WGAN-GP + 100 perceptual (VGG19 conv3_3).

    Source: Kupyn et al., CVPR 2018, arXiv:1711.07064, sections 3.2 and 5.1: batch 1, crops of 256 out of frames at half
    of their size, five critic updates a step on the same images, Adam 1e-4 for both, constant for 150 epochs, then down
    to zero in 150; gradient penalty 10. Where the paper is silent, the authors' program (github.com/KupynOrest/
    DeblurGAN): whole frames brought to 640 x 360 bicubically, betas 0.5 and 0.999, VGG19 sees values in [-1, 1] as they
    are, features before the activation, the critic's gradient is measured on [-1, 1] and its norm taken of every pixel,
    and its steps come before the generator's. The critic looks at patches.
    """
    paper = Recipe(
        name="deblurgan",
        profile="paper",
        source="Kupyn et al., CVPR 2018, sections 3.2 and 5.1, and the authors' program",
        networks=("deblurgan", "deblurgan-head2019"),
        losses=(),
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
        betas=(0.5, 0.999),
        features=Features(weight=100.0, layers=("conv3_3",), raw=True),
        adversary=Adversary(
            discriminator="deblurgan-discriminator",
            loss="wgan",
            weight=1.0,
            gradient_penalty=10.0,
            penalty_norm="pixel",
            updates=5,
            betas=(0.5, 0.999),
            leads=True,
        ),
        flips=("horizontal",),
        augmentation=Augmentation(resize_px=(640, 360)),
    )
    if profile == "paper":
        return paper
    return replace(quick_terms(paper, steps=48, crop_px=128), augmentation=Augmentation())


def deblurgan_v2(profile: str) -> Recipe:
    """0.5 MSE + 0.006 perceptual (VGG19 conv3_3, before the activation) + 0.01 adversarial (RaGAN-LS).

    Source: Kupyn et al., ICCV 2019, arXiv:1908.03826, sections 3.3 and 4: Adam 1e-4 for both networks, constant for 150
    epochs, then down to zero in 150; crops of 256; batch 1; a backbone trained on ImageNet. Where the paper is silent,
    the authors' program (github.com/VITA-Group/DeblurGANv2): the relativistic means run over the last 50 images' scores
    and carry no gradient, the sum of the two sides counts half, the MSE is taken on images less ImageNet's means and
    over its deviations (models/losses.py 48-56 and 183-194); the discriminator's local and global outputs count half
    each (adversarial_trainer.py); its steps come before the generator's; an epoch is 1,000 batches (train.py 62); the
    backbone is frozen for 3 epochs, 1 in 100 of all.

    Training mix: every 2nd GoPro and DVD frame and every 10th NFS frame, which is --every 2,2,10 for the three folders
    in this order (`synth/make_pairs.py --recipe deblurganv2_3840` makes each of them).
    """
    paper = _deblurgan_v2()
    return paper if profile == "paper" else quick_terms(paper, steps=90, crop_px=128)


def deblurgan_v2_code(profile: str) -> Recipe:
    """DeblurGAN-v2 as its program trains it: 0.001 adversarial, 200 epochs of 1,000 batches, warps and corruptions.

    Source: github.com/VITA-Group/DeblurGANv2, config/config.yaml (adv_lambda 0.001; the rate falls from epoch 50 on to
    1e-7) and aug.py: one of five changes of shape for every pair, and for half of the inputs one of eight corruptions
    (synth/degrade/corruptions.py). Its config names wgan-gp; the losses here are the paper's.
    """
    paper = _deblurgan_v2()
    assert paper.adversary is not None
    code = replace(
        paper,
        variant="code",
        source="github.com/VITA-Group/DeblurGANv2, config/config.yaml, aug.py, models/losses.py",
        epochs=200,
        milestones=(0.25,),
        least_rate=1e-3,  # 1e-7 / 1e-4
        frozen_until=3 / 200,
        adversary=replace(paper.adversary, weight=0.001),
        flips=(),
        augmentation=Augmentation(warp="geometric", degrade="deblurgan-v2-corruptions"),
        differs=("the committed configuration names the loss wgan-gp",),
    )
    return code if profile == "paper" else quick_terms(code, steps=90, crop_px=128)


def restore_mix(profile: str) -> Recipe:
    """DeblurGAN-v2's general restoration: its recipe on blurred images that are also noisy, compressed and enlarged.

    Source: Kupyn et al., ICCV 2019, section 4.4: 600 GoPro and 600 DVD images, Gaussian and speckle noise, JPEG and
    up-scaling artefacts through albumentations, split 8000 to 1200. On the fixed set of `synth/make_pairs.py
    restoration` train with the recipe deblurgan-v2; here the degradations are drawn anew for every sample
    (synth/degrade/restoration_mix.py).
    """
    paper = replace(
        _deblurgan_v2(),
        name="restore-mix",
        source="Kupyn et al., ICCV 2019, section 4.4",
        augmentation=Augmentation(degrade="restore-mix"),
        differs=("degradations drawn for every sample in place of 8,000 fixed images",),
    )
    return paper if profile == "paper" else quick_terms(paper, steps=90, crop_px=128)


def _deblurgan_v2() -> Recipe:
    return Recipe(
        name="deblurgan-v2",
        profile="paper",
        source="Kupyn et al., ICCV 2019, sections 3.3 and 4, and the authors' program",
        variant="paper",
        networks=V2_NETWORKS,
        starts=(MOBILENET, INCEPTION),
        losses=(("mse", 0.5),),
        imagenet=True,
        batch=1,
        crop_px=256,
        epochs=300,
        batches_per_epoch=1000,
        schedule="linear",
        milestones=(0.5,),
        frozen=BACKBONES,
        frozen_until=0.01,
        features=Features(weight=0.006, layers=("conv3_3",)),
        adversary=Adversary(
            discriminator="deblurgan-v2-discriminator",
            loss="ragan-ls",
            weight=0.01,
            score_pool=50,
            halved=True,
            leads=True,
        ),
        flips=("horizontal",),
    )


def charbonnier(profile: str) -> Recipe:
    """DeblurGAN-v2's generator without its adversarial and perceptual terms: a Charbonnier loss alone. Ours.

    Source of batch, crop and schedule: Kupyn et al., ICCV 2019, section 4 and the authors' configuration: Adam 1e-4,
    constant for 150 epochs, then down to zero in 150; crops of 256. Differs from the paper in the loss.
    """
    paper = Recipe(
        name="charbonnier",
        profile="paper",
        source="schedule of Kupyn et al., ICCV 2019; the loss is not the paper's",
        ours=True,
        losses=(("charbonnier", 1.0),),
        batch=1,
        crop_px=256,
        epochs=300,
        schedule="linear",
        milestones=(0.5,),
    )
    return paper if profile == "paper" else quick(paper, steps=700, crop_px=128)
