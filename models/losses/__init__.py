"""Training losses by name: functions of tensors to a scalar. A new one is a function here and a line below.

What each takes: (restored, sharp) images; the adversarial pairs "-d", "-g" take (sharp, restored) scores of a
discriminator; `gradient-penalty` takes (discriminator, sharp, restored), `r1` (discriminator,
sharp); `contrastive` takes negatives besides; `motion` takes what the network tells of the motion and the true one.
Images are [B, 3, H, W] in [0, 1]; each loss is a scalar that has a gradient, lower for better images.

Examples
--------
>>> import torch
>>> sharp = torch.zeros(1, 3, 8, 8)
>>> LOSSES["l1"](sharp + 0.5, sharp), LOSSES["mse"](sharp + 0.5, sharp)
(tensor(0.5000), tensor(0.2500))
>>> print(f"{LOSSES['psnr'](sharp + 0.1, sharp):.2f}")  # minus the PSNR in dB
-20.00
>>> all(LOSSES[name](sharp + 0.1, sharp) > LOSSES[name](sharp + 0.01, sharp) for name in IMAGE_LOSSES)
True
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from models.losses.adversarial import (
    gan_d,
    gan_g,
    gradient_penalty,
    lsgan_d,
    lsgan_g,
    r1,
    ragan_d,
    ragan_g,
    ragan_ls_d,
    ragan_ls_g,
    wgan_d,
    wgan_g,
)
from models.losses.features import contrastive, perceptual
from models.losses.gfpgan import gram_style, identity, pyramid_l1
from models.losses.pixel import (
    charbonnier,
    charbonnier_colour,
    charbonnier_fine,
    edge,
    edge_l1,
    frequency,
    l1,
    mimo_frequency,
    motion,
    mse,
    psnr,
    psnr_40,
)

LOSSES: dict[str, Callable[..., Tensor]] = {
    "l1": l1,
    "mse": mse,
    "charbonnier": charbonnier,
    "charbonnier-fine": charbonnier_fine,
    "charbonnier-colour": charbonnier_colour,
    "psnr": psnr,
    "psnr-40": psnr_40,
    "edge": edge,
    "edge-l1": edge_l1,
    "mimo-frequency": mimo_frequency,
    "frequency": frequency,
    "perceptual": perceptual,
    "contrastive": contrastive,
    "ragan-ls-d": ragan_ls_d,
    "ragan-ls-g": ragan_ls_g,
    "ragan-d": ragan_d,
    "ragan-g": ragan_g,
    "wgan-d": wgan_d,
    "wgan-g": wgan_g,
    "lsgan-d": lsgan_d,
    "lsgan-g": lsgan_g,
    "gan-d": gan_d,
    "gan-g": gan_g,
    "gradient-penalty": gradient_penalty,
    "r1": r1,
    "pyramid-l1": pyramid_l1,
    "gram-style": gram_style,
    "identity": identity,
    "motion": motion,
}

# Those that compare a restored image with its sharp one and nothing else: (restored, sharp) -> scalar.
IMAGE_LOSSES = (
    "l1",
    "mse",
    "charbonnier",
    "charbonnier-fine",
    "charbonnier-colour",
    "psnr",
    "psnr-40",
    "edge",
    "edge-l1",
    "mimo-frequency",
    "frequency",
)
