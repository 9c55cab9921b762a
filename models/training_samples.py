"""The sampler of a stage: crops of clips, or whole faces."""

from __future__ import annotations

from models.face_sampler import FaceSampler
from models.pair_dataset import PairSampler
from models.training_plan import Plan
from models.training_stages import PlannedStage


def sampler_of(chosen: Plan, stage: PlannedStage) -> PairSampler:
    """What a stage is trained on."""
    config, recipe = chosen.config, stage.recipe
    if recipe.faces and chosen.boxes:
        return FaceSampler(
            chosen.sets.train,
            chosen.boxes,
            seed=config.seed,
            side_px=stage.crop_px,
            flips=recipe.flips,
            augmentation=recipe.augmentation,
            shares=chosen.sets.shares,
            cache=config.cache,
        )
    return PairSampler(
        chosen.sets.train,
        seed=config.seed,
        crop_px=stage.crop_px,
        clip_frames=stage.clip_frames,
        flips=recipe.flips,
        reversal=recipe.reversal,
        response_share=recipe.response_share,
        augmentation=recipe.augmentation,
        shares=chosen.sets.shares,
        cache=config.cache,
    )
