"""How sharp the negatives of a contrastive training are, and where its loss would have an image go."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.metrics import METRICS
from core.random_streams import stream
from models.losses import LOSSES
from models.losses.features import Features
from models.recipes import Contrast
from models.training.samples import PairSampler

CROPS = 64  # of an interval, spread evenly over its steps
WIDTH, HEIGHT, MARGIN = 420, 260, 48
WAYS = (0.0, 0.25, 0.5, 0.75)
NOISES = (0.01, 0.03, 0.1)


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """A line of negatives.csv: the negatives of the steps first_step to last_step, inclusive.

    gradient_energy: mean squared difference of neighbouring pixels, relative to that of the sharp crops. psnr: of the
    negatives against the sharp crops, mean over crops, those that are equal left out. blurred_*: the same of the
    blurred crops themselves.
    """

    interval: int
    first_step: int
    last_step: int
    share: float
    crops: int
    gradient_energy: float
    psnr: float
    blurred_gradient_energy: float
    blurred_psnr: float


@dataclass(frozen=True, kw_only=True)
class AnchorLoss:
    """A line of anchors.csv: the contrastive loss of blur + way * (sharp - blur) + noise of sigma `noise`.

    The negative is the blurred image; the loss is without the recipe's weight. Where a row of more noise has the lower
    loss, the term drives a restored image at that place away from both images instead of towards the sharp one.
    """

    way: float
    noise: float
    loss: float


def anchor_losses(
    blur: Tensor, sharp: Tensor, features: Features | None, weights: Sequence[float], seed: int = 0
) -> list[AnchorLoss]:
    """For every one of WAYS and NOISES. Shape: two tensors [B, 3, H, W]. weights: one per map of `features`."""
    noise = torch.from_numpy(stream(seed, "anchors").standard_normal(tuple(blur.shape))).to(blur.dtype)
    found = []
    for way in WAYS:
        for sigma in NOISES:
            anchor = torch.lerp(blur, sharp, way) + sigma * noise
            with torch.no_grad():
                loss = float(LOSSES["contrastive"](anchor, sharp, blur, features, weights=weights))
            found.append(AnchorLoss(way=way, noise=sigma, loss=loss))
    return found


def gradient_energy(images: Tensor) -> float:
    """Mean of the squared differences of neighbours along both sides. Shape: [..., H, W]. Zero for a flat image."""
    down, right = images.diff(dim=-2), images.diff(dim=-1)
    return float(down.square().mean() + right.square().mean())


def sharpness(sampler: PairSampler, contrast: Contrast, *, steps: int, batch: int) -> list[Sharpness]:
    """What the training's own samples give: blur + share * (sharp - blur), on up to CROPS crops of each interval."""
    found = []
    for number in range(len(contrast.shares)):
        inside = [step for step in range(steps) if step * len(contrast.shares) // steps == number]
        if not inside:
            continue
        wanted = min(len(inside), max(1, CROPS // batch))
        drawn = [sampler.batch(inside[place * len(inside) // wanted], batch) for place in range(wanted)]
        blur, sharp = (torch.cat([pair[side] for pair in drawn]).flatten(0, 1) for side in (0, 1))
        share = contrast.share_at(inside[0], steps)
        negative = torch.lerp(blur, sharp, share)
        energy = gradient_energy(sharp)
        found.append(
            Sharpness(
                interval=number + 1,
                first_step=inside[0],
                last_step=inside[-1],
                share=share,
                crops=len(blur),
                gradient_energy=gradient_energy(negative) / energy,
                psnr=_mean_psnr(negative, sharp),
                blurred_gradient_energy=gradient_energy(blur) / energy,
                blurred_psnr=_mean_psnr(blur, sharp),
            )
        )
    return found


def _mean_psnr(images: Tensor, sharp: Tensor) -> float:
    values = [
        float(METRICS["psnr"].fn(one, other)) for one, other in zip(images, sharp, strict=True) if not one.equal(other)
    ]
    return sum(values) / len(values) if values else float("inf")


def plot(rows: Sequence[Sharpness], title: str) -> str:
    """Two panels as SVG: gradient energy, and PSNR, of the negatives (full line) and of the blurred crops (dashed)."""
    left = _panel(
        rows,
        "gradient energy, share of the sharp crops'",
        [row.gradient_energy for row in rows],
        [row.blurred_gradient_energy for row in rows],
    )
    right = _panel(
        rows, "PSNR against the sharp crops, dB", [row.psnr for row in rows], [row.blurred_psnr for row in rows]
    )
    height = HEIGHT + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{MARGIN}" y="20" font-size="14">{html.escape(title)}</text>'
        f'<g transform="translate(0 {MARGIN})">{left}</g><g transform="translate({WIDTH} {MARGIN})">{right}</g></svg>\n'
    )


def _panel(rows: Sequence[Sharpness], title: str, values: Sequence[float], blurred: Sequence[float]) -> str:
    low, high = min(*values, *blurred), max(*values, *blurred)
    room = 0.1 * (high - low) or 1.0
    low, high = low - room, high + room
    last = rows[-1].last_step + 1
    span = WIDTH - 1.5 * MARGIN

    def x(step: int) -> float:
        return MARGIN + span * step / last

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    def steps(heights: Sequence[float], style: str) -> str:
        points = " ".join(
            f"{x(row.first_step):.1f},{y(value):.1f} {x(row.last_step + 1):.1f},{y(value):.1f}"
            for row, value in zip(rows, heights, strict=True)
        )
        return f'<polyline points="{points}" fill="none" {style}/>'

    marks = "".join(
        f'<text x="{(x(row.first_step) + x(row.last_step + 1)) / 2:.1f}" y="{y(value) - 6:.1f}" text-anchor="middle">'
        f"{value:.3g}</text>"
        for row, value in zip(rows, values, strict=True)
    )
    edges = "".join(
        f'<text x="{x(step):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{step}</text>'
        for step in (*(row.first_step for row in rows), last)
    )
    frame = f'<path d="M{MARGIN} 0V{HEIGHT}H{MARGIN + span:.1f}" fill="none" stroke="black"/>'
    names = (
        f'<text x="{MARGIN + 6}" y="-6">{html.escape(title)}</text>'
        f'<text x="{MARGIN + span / 2:.1f}" y="{HEIGHT + 34}" text-anchor="middle">step</text>'
    )
    scale = "".join(
        f'<text x="{MARGIN - 4}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in (low + room, high - room)
    )
    lines = steps(blurred, 'stroke="#888" stroke-width="2" stroke-dasharray="6 4"')
    return frame + lines + steps(values, 'stroke="#06c" stroke-width="3"') + marks + edges + names + scale
