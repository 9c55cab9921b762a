"""Training recipes: what a paper (or the quick profile) says about training, in one readable function each.

How a network is fed, and what its outputs are compared with, stands on its ModelSpec. Their constants
beside their sources: published.csv. Where a paper and its authors' program differ and both are known,
VARIANTS has the other one; RECIPES has the one that is taken unless the other is asked for.

A recipe is a function of the profile, "quick" or "paper", that gives a frozen `Recipe` (models/recipes/base.py).

Examples
--------
>>> recipe = RECIPES["mimo-unet"]("paper")
>>> recipe.terms(), recipe.crop_px, recipe.epochs
(['1 l1', '0.1 mimo-frequency'], 256, 3000)
>>> find_recipe("mimo-unet", "quick").steps < 10_000
True
"""

from __future__ import annotations

from collections.abc import Callable

from core.command_line import unknown
from models.recipes.base import KINDS, PROFILES, Adversary, Augmentation, Contrast, FaceTerms, Features, Recipe, Start
from models.recipes.deblurgan import charbonnier, deblurgan, deblurgan_v2, deblurgan_v2_code, restore_mix
from models.recipes.esrgan import esrgan, esrgan_code, real_esrgan
from models.recipes.gfpgan import gfpgan, gfpgan_code
from models.recipes.references import fftformer, hinet, stripformer
from models.recipes.still import (
    deepdeblur,
    deeprft,
    dmphn,
    dmphn_code,
    highres_atrous,
    highres_mlfa,
    maxim,
    mimo_unet,
    mimo_unet_contrastive,
    mimo_unet_contrastive_average,
    motion_unet,
    motion_unet_last,
    motion_unet_more,
    mprnet,
    nafnet,
    nafnet_32,
    photographs,
    restormer,
    srn,
    srn_code,
    uformer,
)
from models.recipes.video import (
    basicvsr,
    basicvsr_plus_plus,
    edvr,
    edvr_l,
    edvr_two_stage,
    estrnn,
    iconvsr,
    stfan,
    stfan_code,
    stfan_plain,
)

__all__ = [
    "KINDS",
    "PROFILES",
    "RECIPES",
    "VARIANTS",
    "Adversary",
    "Augmentation",
    "Contrast",
    "FaceTerms",
    "Features",
    "Recipe",
    "Start",
    "find_recipe",
    "variants_of",
]

RECIPES: dict[str, Callable[[str], Recipe]] = {
    "mimo-unet": mimo_unet,
    "mimo-unet-contrastive": mimo_unet_contrastive,
    "mimo-unet-contrastive-average": mimo_unet_contrastive_average,
    "charbonnier": charbonnier,
    "deblurgan": deblurgan,
    "deblurgan-v2": deblurgan_v2,
    "restore-mix": restore_mix,
    "stfan": stfan,
    "stfan-plain": stfan_plain,
    "nafnet": nafnet,
    "nafnet-32": nafnet_32,
    "srn": srn,
    "dmphn": dmphn,
    "mprnet": mprnet,
    "restormer": restormer,
    "hinet": hinet,
    "stripformer": stripformer,
    "fftformer": fftformer,
    "deepdeblur": deepdeblur,
    "highres-atrous": highres_atrous,
    "highres-mlfa": highres_mlfa,
    "esrgan": esrgan,
    "real-esrgan": real_esrgan,
    "edvr": edvr,
    "edvr-l": edvr_l,
    "edvr-two-stage": edvr_two_stage,
    "basicvsr": basicvsr,
    "iconvsr": iconvsr,
    "basicvsr++": basicvsr_plus_plus,
    "gfpgan": gfpgan,
    "photographs": photographs,
    "motion-unet": motion_unet,
    "motion-unet-more": motion_unet_more,
    "motion-unet-last": motion_unet_last,
    "uformer": uformer,
    "maxim": maxim,
    "deeprft": deeprft,
    "estrnn": estrnn,
}
VARIANTS: dict[tuple[str, str], Callable[[str], Recipe]] = {
    ("deblurgan-v2", "code"): deblurgan_v2_code,
    ("stfan", "code"): stfan_code,
    ("esrgan", "code"): esrgan_code,
    ("gfpgan", "code"): gfpgan_code,
    ("srn", "code"): srn_code,
    ("dmphn", "code"): dmphn_code,
}


def variants_of(name: str) -> tuple[str, ...]:
    """The variants of a recipe, the usual one first; empty where it has none. Errors: as `find_recipe`."""
    usual = find_recipe(name, "paper").variant
    others = tuple(variant for recipe, variant in VARIANTS if recipe == name)
    return (usual, *others) if usual else others


def find_recipe(name: str, profile: str, variant: str = "") -> Recipe:
    """variant: "paper" or "code"; "" the usual one. Errors: ValueError that lists the recipes, profiles or variants."""
    if name not in RECIPES:
        raise ValueError(unknown("no recipe is called", name, RECIPES))
    if profile not in PROFILES:
        raise ValueError(f"the profile is {' or '.join(PROFILES)}, got {profile!r}")
    if not variant or variant == RECIPES[name]("paper").variant:
        return RECIPES[name](profile)
    if (name, variant) not in VARIANTS:
        known = variants_of(name)
        there = f"there is {' and '.join(known)}" if known else "it has none; leave --variant away"
        raise ValueError(f"the recipe {name} has no variant {variant!r}: {there}")
    return VARIANTS[name, variant](profile)
