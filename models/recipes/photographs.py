"""The recipe of the network that is kept in models/pretrained: no paper's, made for pairs of still photographs."""

from __future__ import annotations

from models.recipes.quick import quick
from models.recipes.recipe import Recipe


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
        source="ours, for pairs of photographs (docs/log.md)",
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
