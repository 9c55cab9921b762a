"""Training recipes: what a paper (or the quick profile) says about training, in one readable function each.

How a network is fed, and what its outputs are compared with, stands on its ModelSpec.
"""

from __future__ import annotations

from collections.abc import Callable

from core.command_line import unknown
from models.recipes.base import PROFILES, Adversary, Augmentation, Contrast, FaceTerms, Features, Recipe
from models.recipes.deblurgan import charbonnier, deblurgan, deblurgan_v2, restore_mix
from models.recipes.esrgan import esrgan, real_esrgan
from models.recipes.gfpgan import gfpgan
from models.recipes.references import fftformer, hinet, stripformer
from models.recipes.still import (
    deepdeblur,
    deeprft,
    highres_atrous,
    highres_mlfa,
    maxim,
    mimo_unet,
    mimo_unet_contrastive,
    motion_unet,
    motion_unet_more,
    nafnet,
    photographs,
    uformer,
)
from models.recipes.video import basicvsr, edvr, estrnn, iconvsr, stfan, stfan_plain

__all__ = [
    "PROFILES",
    "RECIPES",
    "Adversary",
    "Augmentation",
    "Contrast",
    "FaceTerms",
    "Features",
    "Recipe",
    "find_recipe",
]

RECIPES: dict[str, Callable[[str], Recipe]] = {
    "mimo-unet": mimo_unet,
    "mimo-unet-contrastive": mimo_unet_contrastive,
    "charbonnier": charbonnier,
    "deblurgan": deblurgan,
    "deblurgan-v2": deblurgan_v2,
    "restore-mix": restore_mix,
    "stfan": stfan,
    "stfan-plain": stfan_plain,
    "nafnet": nafnet,
    "hinet": hinet,
    "stripformer": stripformer,
    "fftformer": fftformer,
    "deepdeblur": deepdeblur,
    "highres-atrous": highres_atrous,
    "highres-mlfa": highres_mlfa,
    "esrgan": esrgan,
    "real-esrgan": real_esrgan,
    "edvr": edvr,
    "basicvsr": basicvsr,
    "iconvsr": iconvsr,
    "gfpgan": gfpgan,
    "photographs": photographs,
    "motion-unet": motion_unet,
    "motion-unet-more": motion_unet_more,
    "uformer": uformer,
    "maxim": maxim,
    "deeprft": deeprft,
    "estrnn": estrnn,
}


def find_recipe(name: str, profile: str) -> Recipe:
    """Errors: ValueError that lists the recipes, or the profiles."""
    if name not in RECIPES:
        raise ValueError(unknown("no recipe is called", name, RECIPES))
    if profile not in PROFILES:
        raise ValueError(f"the profile is {' or '.join(PROFILES)}, got {profile!r}")
    return RECIPES[name](profile)
