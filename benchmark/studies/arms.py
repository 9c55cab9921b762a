"""What the ablations compare: arms, each a network and a recipe that differs from the arm before it in one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from core.command_line import unknown
from models.recipes import Adversary, Contrast, Features, Recipe, find_recipe
from models.zoo import MODELS

SLOW_START = 10  # steps of warm-up, as the quick profile has them


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of an ablation. against: the arm that its difference is taken to, "" for the first."""

    name: str
    change: str
    model: str
    recipe: Recipe
    against: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """networks: what `arms` takes, by default; their meaning in words. arms: (profile, networks) -> rows in order."""

    networks: tuple[str, ...]
    meaning: str
    source: str
    arms: Callable[[str, Sequence[str]], tuple[Arm, ...]]


def deblurgan_v2_arms(profile: str, networks: Sequence[str]) -> tuple[Arm, ...]:
    """From DeblurGAN to DeblurGAN-v2, one component after the other, each kept.

    The last arm is the recipe `deblurgan-v2` itself; going back from it, only what the row names changes, so that
    optimiser, schedule, crops and flips are the same in all. The weight of the perceptual term goes with the
    adversarial loss that it is balanced against: 100 beside WGAN-GP's 1, 0.006 beside RaGAN-LS's 0.01; and so do the
    five critic updates of WGAN-GP. The frozen start of the backbone belongs to the pyramid.
    Source: Kupyn et al., ICCV 2019, arXiv:1908.03826, the ablation of section 4.
    """
    start, pyramid = networks
    final, first = find_recipe("deblurgan-v2", profile), find_recipe("deblurgan", profile)
    assert final.adversary and first.adversary
    without_mse = replace(final, losses=())
    wasserstein = replace(first.adversary, discriminator=final.adversary.discriminator)
    both_scales = replace(without_mse, features=first.features, adversary=wasserstein)
    local = replace(both_scales, adversary=replace(wasserstein, discriminator=first.adversary.discriminator))
    chain = (
        ("start", "DeblurGAN: residual network, local discriminator, WGAN-GP, perceptual", start, _whole(local)),
        ("+ FPN", "feature pyramid in place of the residual network", pyramid, local),
        ("+ global", "discriminator of both scales", pyramid, both_scales),
        ("+ RaGAN-LS", "relativistic least squares in place of WGAN-GP", pyramid, without_mse),
        ("+ MSE", "mean squared error: DeblurGAN-v2", pyramid, final),
    )
    return tuple(
        Arm(name=name, change=change, model=model, recipe=recipe, against=chain[number - 1][0] if number else "")
        for number, (name, change, model, recipe) in enumerate(chain)
    )


def contrastive_arms(profile: str, networks: Sequence[str]) -> tuple[Arm, ...]:
    """A network without the contrastive term, with it, with negatives that stay the blurred image, and earlier outputs.

    The last is the other reading of negatives that grow sharper: what the network's running average restored one
    interval before (recipe mimo-unet-contrastive-average). All four are the recipe `mimo-unet-contrastive` but for the
    term, so that nothing else differs (the quick profiles of the two recipes have other losses on images). The third is
    AECR-Net's form: what the progressive generator adds is the second less the third.
    """
    (model,) = networks
    recipe = find_recipe("mimo-unet-contrastive", profile)
    assert recipe.contrast
    blurred = replace(recipe, contrast=replace(recipe.contrast, shares=(0.0,)))
    earlier = replace(recipe, contrast=replace(recipe.contrast, reading="average"))
    without = replace(recipe, contrast=None)
    first = "without"
    return (
        Arm(name=first, change="the recipe's losses on images alone", model=model, recipe=without, against=""),
        Arm(name="+ contrastive", change="negatives that grow sharper", model=model, recipe=recipe, against=first),
        Arm(name="+ blurred negatives", change="negatives: the input", model=model, recipe=blurred, against=first),
        Arm(name="+ earlier outputs", change="negatives: earlier outputs", model=model, recipe=earlier, against=first),
    )


EDGE_WEIGHT, VGG_WEIGHT, GAN_WEIGHT = 1.0, 0.01, 0.01  # ours: the description gives none


def highres_arms(profile: str, networks: Sequence[str]) -> tuple[Arm, ...]:
    """The high-resolution network under the losses that its description tried beside the absolute error.

    An absolute error of edges (31.32 dB there, against 32.3 dB), VGG16's conv3_3 (no change), a plain GAN with the
    absolute error (29.00 dB), least squares GAN (did not converge). Weights, edge operator and discriminator are ours.
    Source: the high-resolution atrous network's description, "Training Objectives".
    """
    (model,) = networks
    first = find_recipe("highres-atrous", profile)
    base = replace(first.stages[0] if first.stages else first, stages=(), losses=(("l1", 1.0),), response_share=0.0)
    gan = Adversary(discriminator="deblurgan-discriminator", loss="gan", weight=GAN_WEIGHT)
    vgg = Features(weight=VGG_WEIGHT, layers=("conv3_3",), network="vgg16")
    name = "l1"
    chain = (
        (name, "absolute error alone", base),
        ("+ edges", "absolute error of Sobel's edges", replace(base, losses=(*base.losses, ("edge-l1", EDGE_WEIGHT)))),
        ("+ VGG16", "VGG16's conv3_3", replace(base, features=vgg)),
        ("+ GAN", "plain GAN on patches", replace(base, adversary=gan)),
        ("+ LSGAN", "least squares GAN on patches", replace(base, adversary=replace(gan, loss="lsgan"))),
    )
    return tuple(
        Arm(name=one, change=change, model=model, recipe=recipe, against="" if one == name else name)
        for one, change, recipe in chain
    )


def basicvsr_arms(profile: str, networks: Sequence[str]) -> tuple[Arm, ...]:
    """How BasicVSR passes features on and how it aligns them: every row is a network of its own, one recipe for all.

    Source: Chan et al., BasicVSR, CVPR 2021, arXiv:2012.02181, sections 3.1 and 3.2: local, unidirectional and
    bidirectional propagation; no alignment, that of images, that of features.
    """
    (model,) = networks
    recipe = find_recipe("basicvsr", profile)
    chain = (
        ("bidirectional, features", "BasicVSR", model),
        ("unidirectional", "from the past alone", f"{model}-forward"),
        ("local", "from the two neighbours alone", f"{model}-local"),
        ("no alignment", "features of the neighbour as they are", f"{model}-unaligned"),
        ("image alignment", "features of the warped neighbour", f"{model}-images"),
    )
    first = chain[0][0]
    return tuple(
        Arm(name=name, change=change, model=network, recipe=recipe, against="" if name == first else first)
        for name, change, network in chain
    )


def _whole(recipe: Recipe) -> Recipe:
    """For a network that has no backbone to freeze."""
    return replace(recipe, frozen=(), frozen_until=1.0)


def shortened(arm: Arm, *, steps: int, batch: int, crop_px: int) -> Recipe:
    """The arm's recipe at the study's budget; its name says the arm."""
    recipe = replace(arm.recipe, name=arm.name, epochs=0, steps=steps, batch=batch, crop_px=crop_px)
    recipe = replace(recipe, rounds=1, most_macs=0.0, validate_every=0)  # every step its own samples
    return replace(recipe, checkpoint_every=50, warmup_steps=min(recipe.warmup_steps, SLOW_START))


def contrast_of(arms: Sequence[Arm]) -> Contrast | None:
    """The contrastive term with the most intervals among the arms; None where there is none."""
    found = [arm.recipe.contrast for arm in arms if arm.recipe.contrast]
    return max(found, key=lambda contrast: len(contrast.shares), default=None)


def check_networks(study: Study, networks: Sequence[str]) -> None:
    """Errors: ValueError for another number of networks than the study compares, or one that does not exist."""
    if len(networks) != len(study.networks):
        raise ValueError(f"--models takes {study.meaning}, got {len(networks)} names")
    for name in networks:
        if name not in MODELS:
            raise ValueError(unknown("no network is called", name, MODELS))


STUDIES: dict[str, Study] = {
    "deblurgan-v2": Study(
        networks=("deblurgan", "deblurgan-v2-mobilenet"),
        meaning="two networks: the one to start from and the one with a feature pyramid",
        source="Kupyn et al., ICCV 2019, arXiv:1908.03826, ablation in section 4",
        arms=deblurgan_v2_arms,
    ),
    "contrastive": Study(
        networks=("mimo-unet",),
        meaning="one network",
        source="recipe mimo-unet-contrastive; AECR-Net, CVPR 2021, arXiv:2104.09367",
        arms=contrastive_arms,
    ),
    "highres": Study(
        networks=("highres-atrous",),
        meaning="one network",
        source="the high-resolution atrous network's description, training objectives",
        arms=highres_arms,
    ),
    "basicvsr": Study(
        networks=("basicvsr-deblur",),
        meaning="one network, of which NAME-forward, -local, -unaligned and -images exist",
        source="Chan et al., BasicVSR, CVPR 2021, arXiv:2012.02181, sections 3.1 and 3.2",
        arms=basicvsr_arms,
    ),
}
