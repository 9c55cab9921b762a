"""The quick profile: what every recipe becomes to train in about a minute on two CPU cores."""

from __future__ import annotations

from dataclasses import replace

from models.recipes.recipe import Adversary, Recipe

# Of all frames forward: about a minute's work of two CPU cores, so that "quick" means the same for every network
# (docs/decisions/016).
MOST_MACS = 3e12


def quick(paper: Recipe, *, steps: int, crop_px: int, clip_frames: int = 1) -> Recipe:
    """About a minute on two CPU cores. The number of steps does not depend on the machine, so that the result is
    reproducible: these, or fewer for a network that would need more than MOST_MACS.

    The loss is minus the PSNR, up to 40 dB. Where most pixels are flat and need no change, the absolute error is
    smallest for no change at all: a network that starts at the blurred image would stay there for too many steps. The
    mean squared error is led by the few strongest blurs, which nothing so short can restore. Half of the samples are
    shown through other camera responses: otherwise the first thing learned is to darken edges, which averaging in
    linear light has made brighter (docs/log.md, 3 to 5). Four rounds over the same samples: crops differ by more than
    so few steps teach, so that only losses of the same ones show progress.
    """
    return replace(
        paper,
        profile="quick",
        losses=(("psnr-40", 1.0),),
        steps=steps,
        epochs=0,
        batch=2,
        crop_px=crop_px,
        clip_frames=clip_frames,
        learning_rate=1e-3,
        warmup_steps=10,
        schedule="cosine",
        milestones=(),
        ema_decay=0.95,
        gradient_clip=1.0,
        flips=("horizontal", "vertical", "transpose"),
        response_share=0.5,
        rounds=4,
        most_macs=MOST_MACS,
        starts_at_blur=True,
        checkpoint_every=50,
        validate_every=0,
    )


def quick_terms(paper: Recipe, *, steps: int, crop_px: int, clip_frames: int = 1, rate: float = 2e-4) -> Recipe:
    """The quick profile of a recipe whose further terms (perceptual, contrastive, adversarial) are what it is about.

    Its own losses stay, and so do its augmentation and its optimiser; batch, crop, length and schedule are `quick`'s.
    The rate is lower: the terms pull in different directions. Discriminators learn at a hundredth of their rate: in so
    few steps they learn faster than the network and lead it astray (docs/log.md: up to 0.2 dB), and the sum of its
    terms rises with every success of theirs.
    """
    short = quick(paper, steps=steps, crop_px=crop_px, clip_frames=clip_frames)
    short = replace(short, losses=paper.losses, learning_rate=rate, least_rate=0.0, response_share=0.0)
    if paper.adversary:
        short = replace(short, adversary=_slow(paper.adversary))
    if paper.faces:
        short = replace(short, faces=replace(paper.faces, component=_slow(paper.faces.component)))
    return short


def _slow(adversary: Adversary) -> Adversary:
    return replace(adversary, learning_rate=adversary.learning_rate / 100)


def quick_stages(paper: Recipe, stages: tuple[Recipe, ...]) -> Recipe:
    """A quick recipe of these quick stages; what it says itself is what the last stage says."""
    last = stages[-1]
    return replace(last, name=paper.name, steps=sum(stage.steps for stage in stages), stages=stages)
