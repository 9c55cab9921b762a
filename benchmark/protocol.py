"""Evaluation protocols: what exactly a number in the leaderboard means. Facts only; `scorer.py` carries them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EvalProtocol:
    """How one test set is scored. Two protocols never share a column.

    blur_variant: the input folder where a set offers several ("blur", "blur_gamma"; "" = the only one).
    quantise: "round" | "truncate" | "none": what turns the restored image into 8-bit values before scoring.
    align: "none" | "kohler" (gain and integer shift, best trajectory frame) | "shift" (sub-pixel search) | "ecc".
    luma: score Y = .299 R + .587 G + .114 B instead of RGB. crop_px: border cut on every side.
    frames: "all" | "su30" (30 of 100 frames of each sequence). pool: "image" mean of per-image values.
    metrics: the ids scored unless the user asks for others. reference: False where only no-reference metrics apply.
    """

    name: str
    testset: str
    title: str
    source: str
    metrics: tuple[str, ...]
    blur_variant: str = ""
    quantise: str = "round"
    align: str = "none"
    luma: bool = False
    crop_px: int = 0
    frames: str = "all"
    pool: str = "image"
    reference: bool = True


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A quality measure. fn(restored, sharp) takes float tensors [C, H, W] in [0, 1] (C = 3, or 1 for luma protocols)
    and returns a float; a no-reference metric ignores `sharp` (None).

    missing(): None when it can run here, otherwise one sentence that names the file or package that is missing.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    needs_reference: bool
    source: str
    fn: Callable[[Tensor, Tensor | None], float]
    missing: Callable[[], str | None] = lambda: None
