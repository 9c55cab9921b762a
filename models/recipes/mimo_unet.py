"""MIMO-UNet, and the same with a contrastive term."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.quick import quick, quick_terms
from models.recipes.recipe import Contrast, Recipe


def mimo_unet(profile: str) -> Recipe:
    """Multi-scale content + 0.1 multi-scale frequency reconstruction loss.

    Source: Cho et al., ICCV 2021, section 4.1: batch 4, crops of 256, random horizontal flips, Adam, 1e-4, halved every
    500 of 3000 epochs. Quick differs: see quick.py.
    """
    paper = _paper()
    return paper if profile == "paper" else quick(paper, steps=300, crop_px=64)


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
    (docs/log.md: 2.3 dB lost).
    """
    paper = replace(
        _paper(),
        name="mimo-unet-contrastive",
        source="Jan, master's thesis, NCU 2022 (abstract), with constants of AECR-Net, CVPR 2021",
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
        losses=(("l1", 1.0), ("mimo-frequency", 0.1)),
        batch=4,
        crop_px=256,
        epochs=3000,
        schedule="step",
        milestones=(1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6),
        flips=("horizontal",),
    )
