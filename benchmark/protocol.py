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
    frames: "all" | "su30" (30 of 100 frames of each sequence, see `su30_indices`) | "su30-one-based" (the same numbers
    counted from 1: the user's `--one-based`). pool: "image" mean of per-image values.
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
    unchecked: fn without the check of shapes and range, for aligned images: after a gain their values may pass 1.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    needs_reference: bool
    source: str
    fn: Callable[[Tensor, Tensor | None], float]
    missing: Callable[[], str | None] = lambda: None
    unchecked: Callable[[Tensor, Tensor | None], float] | None = None


# The ten test sequences of DVD (Su et al., CVPR 2017), #1 to #10; 100 frames each.
DVD_TEST_SEQUENCES = (
    "IMG_0030",
    "IMG_0049",
    "IMG_0021",
    "720p_240fps_2",
    "IMG_0032",
    "IMG_0033",
    "IMG_0031",
    "IMG_0003",
    "IMG_0039",
    "IMG_0037",
)

_GOPRO_SOURCE = (
    "Nah et al., CVPR 2017; the 1,111 test pairs; folder and averaging as in SRN, DMPHN, MPRNet and most later work"
)
_DVD_SOURCE = "Su et al., CVPR 2017; the 10 test sequences of 100 frames"
_LAI_SOURCE = "Lai et al., CVPR 2016"

# To come: gopro-per-sequence, dvd-su30-aligned, dvd-pvdnet, reds-val, hide, realblur-j, realblur-r, rsblur.
PROTOCOLS: dict[str, EvalProtocol] = {
    "gopro-linear": EvalProtocol(
        name="gopro-linear",
        testset="gopro",
        title="folder blur (plain mean of the frames); RGB, 8-bit rounded, no cut, mean over images",
        source=_GOPRO_SOURCE,
        blur_variant="blur",
        metrics=("psnr", "ssim-gauss-valid", "lpips-alex"),
    ),
    "gopro-gamma": EvalProtocol(
        name="gopro-gamma",
        testset="gopro",
        title="folder blur_gamma (mean after gamma 2.2 is undone); RGB, 8-bit rounded, no cut, mean over images",
        source="Nah et al., CVPR 2017 (the folder of the original paper); scoring as in gopro-linear",
        blur_variant="blur_gamma",
        metrics=("psnr", "ssim-gauss-valid", "lpips-alex"),
    ),
    "kohler": EvalProtocol(
        name="kohler",
        testset="kohler",
        title="gain and whole-pixel shift per trajectory frame, zero-filled, masked, luma; best frame",
        source="Kohler et al., ECCV 2012; the authors' scoring program",
        align="kohler",
        luma=True,
        metrics=("psnr", "ssim-gauss-valid"),
    ),
    "dvd-all": EvalProtocol(
        name="dvd-all",
        testset="dvd",
        title="all frames of the 10 test sequences; RGB, 8-bit rounded, no alignment, mean over images",
        source=_DVD_SOURCE + "; plain scoring as in CDVD-TSP",
        metrics=("psnr", "ssim-gauss-valid", "lpips-alex"),
    ),
    "dvd-su30": EvalProtocol(
        name="dvd-su30",
        testset="dvd",
        title="30 of 100 frames a sequence, floor(linspace(2, 97, 30)) from 0; RGB, 8-bit rounded, no alignment",
        source=_DVD_SOURCE + "; the frames of the authors' scoring, without its alignment",
        frames="su30",
        metrics=("psnr", "ssim-gauss-valid", "lpips-alex"),
    ),
    "lai-synthetic": EvalProtocol(
        name="lai-synthetic",
        testset="lai-uniform",
        title="luma, 15 px cut, best of all shifts within +-10 px in steps of 0.25 px (bilinear, least squares)",
        source=_LAI_SOURCE + "; the scoring in use since SelfDeblur (Ren et al., CVPR 2020)",
        align="shift",
        luma=True,
        crop_px=15,
        metrics=("psnr", "ssim-wang-downsampled"),
    ),
    "lai-real": EvalProtocol(
        name="lai-real",
        testset="lai-real",
        title="no ground truth: no-reference metrics of the 8-bit RGB result",
        source=_LAI_SOURCE,
        metrics=("niqe",),
        reference=False,
    ),
}

SU30_SHIFT = {"su30": 0, "su30-one-based": -1}


def su30_indices(frames: str = "su30") -> tuple[int, ...]:
    """The 30 frames of a 100-frame DVD sequence that Su et al. scored: floor(linspace(2, 97, 30)) = 2, 5, ..., 93, 97.

    Units: index from 0 into the sorted frames. frames: "su30", or "su30-one-based" to read the numbers as MATLAB does,
    counting from 1, which gives 1, 4, ..., 92, 96 here; the authors never said which was meant.
    Errors: ValueError for another word.
    Source: authors' statement in shuochsu/DeepVideoDeblurring issue 3.
    """
    if frames not in SU30_SHIFT:
        raise ValueError(f"frames is one of {', '.join(SU30_SHIFT)}, not {frames!r}")
    return tuple(2 + 95 * step // 29 + SU30_SHIFT[frames] for step in range(30))
