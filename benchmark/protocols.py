"""Evaluation protocols: what exactly a number in the leaderboard means. Facts; `evaluation.py` carries them out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EvalProtocol:
    """How one test set is scored. Two protocols never share a column."""

    name: str
    testset: str
    title: str
    source: str
    metrics: tuple[str, ...]  # ids that are scored unless the user asks for others
    blur_variant: str = ""  # input folder where a set offers several ("blur", "blur_gamma"); "": the only one
    # "round", "truncate" or "none": what turns the restored image into 8-bit values before scoring
    quantise: str = "round"
    # "none", "kohler" (gain and integer shift, best trajectory frame, after the cut), "shift" (sub-pixel search) or
    # "ecc" (gain and homography, masked)
    align: str = "none"
    luma: bool = False  # Y = .299 R + .587 G + .114 B is scored in place of RGB
    crop_px: int = 0  # border that is cut on every side
    # "all", "su30" (30 of 100 frames of each sequence, see `su30_indices`), "su30-one-based" (the same numbers counted
    # from 1: the user's `--one-based`) or "skip-first"
    frames: str = "all"
    pool: str = "image"  # "image": mean of per-image values; "sequence": mean of the sequences' means (see `pooled`)
    reference: bool = True  # False where only no-reference metrics apply
    studio_luma: bool = False  # with luma: Y of BT.601 between 16 and 235, as MATLAB's rgb2ycbcr, not rounded
    # How many times larger than its input a restored image is; a sharp one is cut to it where it is up to scale - 1 px
    # larger.
    scale: int = 1
    images: str = ""  # folder of its restored images where it is not called after the test set
    tasks: tuple[str, ...] = ()  # of networks (models/spec.py) that it is meant for; (): deblurring and restoration


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A quality measure."""

    name: str
    title: str
    unit: str  # of its values; "" for none
    higher_is_better: bool
    needs_reference: bool
    source: str
    # (restored, sharp) -> value. Float tensors [C, H, W] in [0, 1], C = 3, or 1 for luma protocols; a no-reference
    # metric ignores `sharp` (None).
    fn: Callable[[Tensor, Tensor | None], float]
    # None when it can run here, else one sentence that names the file or package that is missing
    missing: Callable[[], str | None] = lambda: None
    # fn without the check of shapes and range, for aligned images: after a gain their values may pass 1
    unchecked: Callable[[Tensor, Tensor | None], float] | None = None
    smallest_px: int = 1  # the images' shorter side is at least this long


_GOPRO_SOURCE = (
    "Nah et al., CVPR 2017; the 1,111 test pairs; folder and averaging as in SRN, DMPHN, MPRNet and most later work"
)
_RGB_METRICS = ("psnr", "ssim-gauss-valid", "lpips-alex")
_ECC_TITLE = "gain, homography by ECC, cubic warp; RGB, PSNR and SSIM over what stays inside; mean over images"
_ECC_SOURCE = "; the scorer of RealBlur and RSBlur: Gaussian SSIM, 5 px cut; ECC of 100 iterations, filter of 5 px"
_ECC_METRICS = ("psnr", "ssim-skimage-gauss")
_DVD_SOURCE = "Su et al., CVPR 2017; the 10 test sequences of 100 frames"
_LAI_SOURCE = "Lai et al., CVPR 2016"

_ENLARGING = ("sr2", "sr4", "video-sr4")
_STILL_X4 = ("bicubically reduced stills; 4 px cut", "the usual scoring, as in ESRGAN (Wang et al., ECCVW 2018)", 4)


def _x4(name: str, testset: str, what: str, source: str, crop_px: int) -> EvalProtocol:
    return EvalProtocol(
        name=name,
        testset=testset,
        title=f"four times {what}; Y of BT.601 (16 to 235), 8-bit rounded, mean over images",
        source=source,
        metrics=("psnr", "ssim-gauss-valid"),
        luma=True,
        studio_luma=True,
        crop_px=crop_px,
        scale=4,
        images=name if testset == "vid4" else "",
        tasks=_ENLARGING,
    )


PROTOCOLS: dict[str, EvalProtocol] = {
    "gopro-linear": EvalProtocol(
        name="gopro-linear",
        testset="gopro",
        title="folder blur (plain mean of the frames); RGB, 8-bit rounded, no cut, mean over images",
        source=_GOPRO_SOURCE,
        blur_variant="blur",
        metrics=_RGB_METRICS,
    ),
    "gopro-gamma": EvalProtocol(
        name="gopro-gamma",
        testset="gopro",
        title="folder blur_gamma (mean after gamma 2.2 is undone); RGB, 8-bit rounded, no cut, mean over images",
        source="Nah et al., CVPR 2017 (the folder of the original paper); scoring as in gopro-linear",
        blur_variant="blur_gamma",
        images="gopro-gamma",
        metrics=_RGB_METRICS,
    ),
    "gopro-per-sequence": EvalProtocol(
        name="gopro-per-sequence",
        testset="gopro",
        title="folder blur; RGB, 8-bit rounded, no cut; mean of each sequence, then mean of the 11 sequences",
        source="the averaging of VRT (Liang et al., 2022), otherwise as gopro-linear; sequences have 77 to 134 images",
        blur_variant="blur",
        pool="sequence",
        metrics=_RGB_METRICS,
    ),
    "kohler": EvalProtocol(
        name="kohler",
        testset="kohler",
        title="gain and whole-pixel shift per trajectory frame, zero-filled, masked, luma; best frame",
        source="Kohler et al., ECCV 2012; the authors' scoring program",
        align="kohler",
        luma=True,
        metrics=("psnr", "ms-ssim"),
    ),
    "dvd-all": EvalProtocol(
        name="dvd-all",
        testset="dvd",
        title="all frames of the 10 test sequences; RGB, 8-bit rounded, no alignment, mean over images",
        source=_DVD_SOURCE + "; plain scoring as in CDVD-TSP",
        metrics=_RGB_METRICS,
    ),
    "dvd-su30": EvalProtocol(
        name="dvd-su30",
        testset="dvd",
        title="30 of 100 frames a sequence, floor(linspace(2, 97, 30)) from 0; RGB, 8-bit rounded, no alignment",
        source=_DVD_SOURCE + "; the frames of the authors' scoring, without its alignment",
        frames="su30",
        metrics=_RGB_METRICS,
    ),
    "dvd-su30-aligned": EvalProtocol(
        name="dvd-su30-aligned",
        testset="dvd",
        title="the frames of dvd-su30; Kohler's gain and whole-pixel shift, zero-filled, masked, luma",
        source=_DVD_SOURCE + "; the authors scored with the program of Kohler et al. (their issue 3)",
        frames="su30",
        align="kohler",
        luma=True,
        metrics=("psnr", "ssim-gauss-valid"),
    ),
    "dvd-pvdnet": EvalProtocol(
        name="dvd-pvdnet",
        testset="dvd",
        title="all frames but the first of a sequence; 16 px cut, then Kohler's gain and shift, masked, luma",
        source="Son et al. (PVDNet), ACM TOG 2021; it turns portrait results, which moves neither PSNR nor SSIM",
        frames="skip-first",
        align="kohler",
        luma=True,
        crop_px=16,
        metrics=("psnr", "ssim-gauss-valid"),
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
    "reds-val": EvalProtocol(
        name="reds-val",
        testset="reds",
        title="val_blur, all 30 x 100 frames; RGB, 8-bit rounded, no cut, mean over images",
        source="Nah et al., CVPRW 2019; scoring as in DeepDeblur-PyTorch; not NAFNet's 300 frames of blur_jpeg",
        metrics=_RGB_METRICS,
    ),
    "reds-val-300": EvalProtocol(
        name="reds-val-300",
        testset="reds-val-300",
        title="val_blur_jpeg, the 300 frames whose names end in 9; RGB, 8-bit rounded, no cut, mean over images",
        source="NTIRE 2021; as HINet and NAFNet report it",
        metrics=_RGB_METRICS,
    ),
    "reds4-deblur": EvalProtocol(
        name="reds4-deblur",
        testset="reds4",
        title="train_blur of the clips 000, 011, 015, 020; RGB, 8-bit rounded, no cut, mean over images",
        source="Wang et al., EDVR, CVPRW 2019 (34.80 dB)",
        metrics=_RGB_METRICS,
    ),
    "reds4-bix4": EvalProtocol(
        name="reds4-bix4",
        testset="reds4",
        title="four times bicubically reduced clips 000, 011, 015, 020; RGB, 8-bit rounded, no cut, mean over images",
        source="Wang et al., EDVR, CVPRW 2019; Chan et al., BasicVSR, CVPR 2021",
        metrics=_RGB_METRICS,
        scale=4,
        images="reds4-bix4",
        tasks=_ENLARGING,
    ),
    "vid4-bi": _x4("vid4-bi", "vid4", "bicubically reduced clips; no cut", "Chan et al., BasicVSR, CVPR 2021", 0),
    "vid4-bd": _x4(
        "vid4-bd",
        "vid4",
        "clips under a Gaussian of 1.6 px of which every fourth pixel is kept; no cut",
        "Jo et al., DUF, CVPR 2018; Chan et al., BasicVSR, CVPR 2021",
        0,
    ),
    "set5-x4": _x4("set5-x4", "set5", *_STILL_X4),
    "set14-x4": _x4("set14-x4", "set14", *_STILL_X4),
    "bsd100-x4": _x4("bsd100-x4", "bsd100", *_STILL_X4),
    "urban100-x4": _x4("urban100-x4", "urban100", *_STILL_X4),
    "blind-sr": EvalProtocol(
        name="blind-sr",
        testset="blind-sr",
        title="real low-resolution images, enlarged four times; no ground truth: no-reference metrics, RGB",
        source="Zhang et al., BSRGAN, ICCV 2021; Wang et al., Real-ESRGAN, ICCVW 2021",
        metrics=("niqe",),
        reference=False,
        scale=4,
        tasks=_ENLARGING,
    ),
    "faces": EvalProtocol(
        name="faces",
        testset="faces",
        title="aligned faces of 512 px; LPIPS, NIQE, and the angle between ArcFace's features",
        source="Wang et al., GFPGAN, CVPR 2021, section 4.2",
        metrics=("lpips-alex", "niqe", "identity", "psnr"),
        tasks=("face",),
    ),
    "bsd": EvalProtocol(
        name="bsd",
        testset="bsd",
        title="all test frames of the settings that are there; RGB, 8-bit rounded, no cut, mean over images",
        source="Zhong et al., ESTRNN, ECCV 2020; scoring of the authors' program",
        metrics=("psnr", "ssim-skimage-gauss"),
    ),
    "levin": EvalProtocol(
        name="levin",
        testset="levin",
        title="grey, 15 px cut, best of all shifts within +-10 px in steps of 0.25 px (bilinear, least squares)",
        source="Levin et al., CVPR 2009; the scoring in use since (Ren et al., SelfDeblur, CVPR 2020, searches +-5 px)",
        align="shift",
        luma=True,
        crop_px=15,
        metrics=("psnr", "ssim-gauss-valid"),
    ),
    "restoration-1200": EvalProtocol(
        name="restoration-1200",
        testset="restoration",
        title="the 1,200 test pairs of DeblurGAN-v2's restoration set; RGB, 8-bit rounded, no cut, mean over images",
        source="Kupyn et al., DeblurGAN-v2, ICCV 2019, section 4.4",
        metrics=_RGB_METRICS,
    ),
    "pairs": EvalProtocol(
        name="pairs",
        testset="pairs",
        title="pairs of one's own; RGB, 8-bit rounded, no cut, no alignment, mean over images",
        source="ours: scoring as in gopro-linear",
        metrics=_RGB_METRICS,
    ),
    "hide": EvalProtocol(
        name="hide",
        testset="hide",
        title="2,025 test images, close-ups and long shots; RGB, 8-bit rounded, no cut, mean over images",
        source="Shen et al., ICCV 2019; scored like GoPro, by networks trained on GoPro",
        metrics=_RGB_METRICS,
    ),
    "realblur-j": EvalProtocol(
        name="realblur-j",
        testset="realblur-j",
        title=_ECC_TITLE,
        source="Rim et al., ECCV 2020" + _ECC_SOURCE,
        align="ecc",
        metrics=_ECC_METRICS,
    ),
    "realblur-r": EvalProtocol(
        name="realblur-r",
        testset="realblur-r",
        title=_ECC_TITLE,
        source="Rim et al., ECCV 2020" + _ECC_SOURCE,
        align="ecc",
        metrics=_ECC_METRICS,
    ),
    "rsblur": EvalProtocol(
        name="rsblur",
        testset="rsblur",
        title=_ECC_TITLE,
        source="Rim et al., ECCV 2022" + _ECC_SOURCE,
        align="ecc",
        metrics=_ECC_METRICS,
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


def scored_positions(frames: str, count: int) -> tuple[int, ...]:
    """Positions that are scored in a sequence of `count` frames, from 0; `frames` as in EvalProtocol.

    Positions of su30 beyond the end are left out. Errors: ValueError for another word.
    """
    if frames == "all":
        return tuple(range(count))
    if frames == "skip-first":
        return tuple(range(1, count))
    return tuple(index for index in su30_indices(frames) if index < count)


def pooled(values: Mapping[str, float], pool: str) -> float:
    """The figure of a table from per-image values by key: their mean, or the mean of the sequences' means.

    The sequence of a key is what stands before its last "/". Errors: ValueError for no values or another `pool`.
    """
    if pool not in ("image", "sequence") or not values:
        raise ValueError(f"pool is image or sequence, for one value or more; got {pool!r} and {len(values)} values")
    if pool == "image":
        return math.fsum(values.values()) / len(values)
    sequences: dict[str, list[float]] = {}
    for key, value in values.items():
        sequences.setdefault(key.rpartition("/")[0], []).append(value)
    return math.fsum(math.fsum(part) / len(part) for part in sequences.values()) / len(sequences)
