"""How long a benchmark run takes: roughly before it starts, and from what was measured once it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.plan import RunConfig, Target, by_images_folder, clips_to_restore
from synth.image_files import image_size

if TYPE_CHECKING:
    from benchmark.cost import Cost

# Measured for the profile quick and the mini sets on two CPU cores.
QUICK_TRAINING_S, MINI_RENDERING_S, MINI_SCORING_S = 75, 10, 8


def rough_estimate(config: RunConfig, untrained: Sequence[str], real: dict[str, Path], minis: Sequence[str]) -> str:
    """Time of a run from scratch in words, before anything can be measured."""
    if config.steps is not None:
        training = f"training {config.steps} steps of {len(untrained)} networks"
    elif config.profile == "paper":
        training = f"training {len(untrained)} networks for days to weeks each (use a GPU)"
    else:
        training = f"training {in_words(QUICK_TRAINING_S * len(untrained))}"
    mini = in_words(len(minis) * (MINI_RENDERING_S + MINI_SCORING_S * len(config.methods)))
    parts = [training] if untrained else []
    parts += [f"mini sets {mini}"] if minis else []
    parts += ["the real sets minutes to hours for each method, by their size"] if real else []
    return ", ".join(parts) + "; what is at hand from before is not made again"


def in_words(seconds: float) -> str:
    """ "about 40 s", "about 5 min", "about 3.2 h", "about 12 days"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            amount = seconds / length
            return f"about {amount:.1f} {unit}" if amount < 10 and unit != "min" else f"about {amount:.0f} {unit}"
    return f"about {seconds:.0f} s"


def restoring_seconds(targets: Sequence[Target], costs: Mapping[str, Cost]) -> float:
    """How long restoring takes, from the measured latencies and the images' sizes. Units: seconds."""
    pixels = 0.0
    for group in by_images_folder(targets).values():
        for clip in clips_to_restore(group, whole_clips=False):
            with suppress(ValueError, OSError):  # an unreadable image costs nothing; its row will say why
                height, width = image_size(clip.samples[0].blur)
                pixels += height * width
    return sum(cost.row.ms_median / 1000 * pixels / (cost.row.height * cost.row.width) for cost in costs.values())
