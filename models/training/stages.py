"""The stages of a training: which steps they take, in which batches, and crops of which size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.macs import macs_of_sample
from models.recipes import Recipe
from models.spec import ModelSpec
from models.training import processes
from models.zoo import MODELS

SMALLEST_CROP_PX = 16
LEAST_RATE = 0.05  # of the recipe's learning rate, for a training that the budget of work makes shorter


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage of the recipe with its place in the whole training: steps first to last - 1. batch: all processes'."""

    recipe: Recipe
    first: int
    last: int
    batch: int
    crop_px: int
    clip_frames: int
    part: int = 0  # number of the recipe's stage that it belongs to
    of_part: tuple[int, int] | None = None  # the first step of that stage and the one after its last

    @property
    def steps(self) -> int:
        return self.last - self.first

    @property
    def schedule(self) -> tuple[int, int]:
        """The steps, first and one after the last, that the rate and all that changes with time run over."""
        return self.of_part or (self.first, self.last)

    @property
    def optimiser_steps(self) -> int:
        """Of the network; with a step a frame, clip_frames of every step here."""
        return self.steps * (self.clip_frames if self.recipe.step_per_frame else 1)

    @property
    def round_steps(self) -> int:
        """Steps after which the same samples come again."""
        return max(1, self.steps // self.recipe.rounds)

    def drawn_at(self, step: int) -> int:
        """The step whose samples are shown at `step`: itself, or that of the first round."""
        return self.first + (step - self.first) % self.round_steps


def planned_stages(
    recipe: Recipe,
    spec: ModelSpec,
    *,
    pairs: int,
    side_px: int,
    total: int | None,
    batch: int | None,
    crop_px: int | None = None,
    accumulate: int,
) -> tuple[PlannedStage, ...]:
    """The stages in order; with another number of steps than the recipe's they keep their shares of it.

    pairs, side_px: how many there are, and the shortest side of an image. total, batch, crop_px: None as the recipe
    says, which may limit the work of all steps. Errors: ValueError, one sentence, for a batch that does not split, too
    few steps, a crop that does not suit, or images that are too small.
    """
    parts, numbers = _pieces(recipe)
    batches = [(batch or part.batch) * processes.count() for part in parts]
    for part in parts:
        if (batch or part.batch) % accumulate:
            raise ValueError(
                f"a batch of {batch or part.batch} does not split into {accumulate} equal parts; give another --batch "
                "or --accumulate"
            )
    crops = [crop_of(part, spec, side_px, crop_px) for part in parts]
    clips = [part.clip_frames if spec.frames > 1 else 1 for part in parts]
    lengths = [_length(part, pairs, size, clip) for part, size, clip in zip(parts, batches, clips, strict=True)]
    frames = [size * clip // processes.count() for size, clip in zip(batches, clips, strict=True)]
    steps = total or _affordable(recipe, spec, lengths, crops, frames)
    if total is None:
        parts = tuple(_calmer(part, steps / sum(lengths)) for part in parts)
    if steps < len(recipe.stages):
        raise ValueError(
            f"the recipe {recipe.name} has {len(recipe.stages)} stages, so that it takes at least as many steps"
        )
    ends = [max(number, round(sum(lengths[:number]) * steps / sum(lengths))) for number in range(1, len(parts) + 1)]
    ends = [min(end, max(1, steps - len(parts) + number)) for number, end in enumerate(ends, start=1)]
    firsts = [0, *ends[:-1]]
    spans = [
        (firsts[numbers.index(number)], ends[len(numbers) - 1 - numbers[::-1].index(number)]) for number in numbers
    ]
    return tuple(
        PlannedStage(
            recipe=part,
            first=first,
            last=last,
            batch=size,
            crop_px=crop,
            clip_frames=clip,
            part=number,
            of_part=span,
        )
        for part, size, crop, clip, first, last, number, span in zip(
            parts, batches, crops, clips, firsts, ends, numbers, spans, strict=True
        )
        if last > first
    )


def _pieces(recipe: Recipe) -> tuple[tuple[Recipe, ...], list[int]]:
    """The recipe's stages, one with pieces as so many recipes, and the number of the stage that each belongs to."""
    found, numbers = [], []
    for number, part in enumerate(recipe.stages or (recipe,)):
        pieces = [replace(part, steps=steps, batch=batch, crop_px=crop) for steps, batch, crop in part.pieces]
        found += pieces or [part]
        numbers += [number] * max(1, len(pieces))
    return tuple(found), numbers


def _length(part: Recipe, pairs: int, batch: int, clip: int) -> int:
    """Steps of a stage. With a step a frame, its steps are frames, and a step here is a clip of them."""
    epoch = part.batches_per_epoch or math.ceil(pairs / batch)
    steps = part.steps or part.epochs * epoch
    return max(1, round(steps / clip)) if part.step_per_frame else steps


def _affordable(
    recipe: Recipe, spec: ModelSpec, lengths: Sequence[int], crops: Sequence[int], frames: Sequence[int]
) -> int:
    """The steps of all stages within recipe.most_macs, but one in every round; frames: those of a step, one process."""
    steps = sum(lengths)
    if not recipe.most_macs:
        return steps
    needed = sum(
        length * count * macs_of_sample(spec, crop) for length, count, crop in zip(lengths, frames, crops, strict=True)
    )
    least = sum(part.rounds for part in recipe.stages or (recipe,))
    return steps if needed <= recipe.most_macs else min(steps, max(least, int(steps * recipe.most_macs / needed)))


def _calmer(part: Recipe, share: float) -> Recipe:
    """The recipe for only that share of its steps: the rate falls with it, or the few that are left throw it off."""
    return replace(part, learning_rate=part.learning_rate * max(LEAST_RATE, share)) if share < 1 else part


def crop_of(recipe: Recipe, spec: ModelSpec, side_px: int, asked_px: int | None = None) -> int:
    """What is asked for; else the recipe's crop, or the largest that fits images, network and discriminator.

    Errors: ValueError, one sentence, for images that are too small, or a crop asked for that does not suit.
    """
    # An enlarging network gets area means of the crop.
    multiple, who = spec.multiple_of * spec.scale, spec.name
    if recipe.adversary:
        opponent = MODELS[recipe.adversary.discriminator]
        multiple, who = math.lcm(multiple, opponent.multiple_of), f"{spec.name} with {opponent.name}"
    least = spec.side_px or math.ceil(SMALLEST_CROP_PX / multiple) * multiple
    if side_px < least:
        crops = "squares of" if spec.side_px else "crops of at least"
        raise ValueError(
            f"the smallest image is {side_px} px on a side, but {who} trains on {crops} {least} px; use larger images"
        )
    if asked_px is None:
        return spec.side_px or max(multiple, min(recipe.crop_px, side_px) // multiple * multiple)
    if spec.side_px and asked_px != spec.side_px:
        raise ValueError(f"{spec.name} trains on squares of {spec.side_px} px, got --crop {asked_px}; leave it away")
    if asked_px % multiple or not least <= asked_px <= side_px:
        raise ValueError(
            f"--crop for {who} is a multiple of {multiple} px, from {least} to {side_px // multiple * multiple} px (the"
            f" smallest image is {side_px} px on a side), got {asked_px}"
        )
    return asked_px
