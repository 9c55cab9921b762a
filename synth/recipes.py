"""Recipes: how captured and virtual frames become one exposure. A recipe is a function that returns one.

The published ones reproduce how a data set was made as far as its authors said so. What was not found in a source is a
line of `unverified`; that list goes into run.json with the configuration, and docs/recipes.md has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.command_line import unknown


@dataclass(frozen=True, kw_only=True)
class SynthesisRecipe:
    """What a recipe settles; None leaves it to the command line."""

    name: str
    profile: str  # weights over the virtual frames of a window, "trapezoid" (the two ends half) or "mean" (all alike)
    source: str
    windows: tuple[int, ...] | None = None  # captured frames, drawn per pair if several
    factor: int | None = None  # virtual frames per captured gap
    stride: int | None = None  # captured frames between window starts
    response: str | None = None  # the curve under which is averaged; "linear": the mean of encoded values
    twin_response: str | None = None  # the curve of a second blurred image of the same frames, `blur_gamma`
    duty: float | None = None  # share of the window's time that the shutter is open
    averages_encoded: bool = False  # pixel values are averaged as they are, not as light
    capture_fps: float | None = None  # of the published set, Hz
    # exposure over the time from one output frame to the next, as published; it follows from windows and stride
    published_duty: float | None = None
    unverified: tuple[str, ...] = ()  # constants for which no source was read


def trapezoid() -> SynthesisRecipe:
    """The exposure from the first captured frame's instant to the last one's: the integral by the trapezoid rule."""
    return SynthesisRecipe(name="trapezoid", profile="trapezoid", source="trapezoid rule over the virtual frames")


def mean() -> SynthesisRecipe:
    """Every virtual frame counts alike, as when captured frames are simply averaged."""
    return SynthesisRecipe(
        name="mean",
        profile="mean",
        source="plain mean: Nah et al., Deep Multi-scale CNN for Dynamic Scene Deblurring, CVPR 2017",
    )


def gopro_like() -> SynthesisRecipe:
    """GOPRO_Large: 7, 11 or 13 captured frames of 240 fps, time-disjoint windows, nothing interpolated.

    `blur` is the plain mean of the pixel values; `blur_gamma` decodes by x^2.2, averages and encodes again. The sharp
    frame is the middle one (frames 323 to 329: 326).
    """
    return SynthesisRecipe(
        name="gopro_like",
        profile="mean",
        source="GOPRO_Large: Nah et al., CVPR 2017; SeungjunNah/DeepDeblur_release issues 4, 13, 22, 57, 59",
        windows=(7, 11, 13),
        factor=1,
        response="linear",
        twin_response="gamma2.2",
        duty=1.0,
        averages_encoded=True,
        capture_fps=240.0,
    )


def dvd_like() -> SynthesisRecipe:
    """DeepVideoDeblurring: 7 captured frames of 240 fps and 10 virtual ones in every gap, one of 8 frames kept."""
    return SynthesisRecipe(
        name="dvd_like",
        profile="mean",
        source="DeepVideoDeblurring_Dataset: Su et al., Deep Video Deblurring for Hand-held Cameras, CVPR 2017",
        windows=(7,),  # unverified
        factor=11,  # unverified: 10 virtual frames in a gap
        stride=8,  # unverified: 240 fps become 30
        response="linear",  # unverified: no response curve is mentioned
        duty=1.0,
        averages_encoded=True,
        capture_fps=240.0,
        unverified=(
            "windows: 7 captured frames",
            "factor: 10 interpolated frames in every gap",
            "stride: 1 captured frame in 8 is kept (30 fps)",
            "response: pixel values are averaged as they are",
        ),
    )


def reds_like() -> SynthesisRecipe:
    """REDS: 120 fps interpolated 16x to 1920, 65 virtual frames (4 gaps and both ends), 24 output frames a second.

    The exposure lasts 64 of the 80 virtual frame times between two outputs: duty cycle 0.8.
    """
    return SynthesisRecipe(
        name="reds_like",
        profile="mean",
        source="REDS: Nah et al., NTIRE 2019 challenge on video deblurring and super-resolution, CVPRW 2019; "
        "SeungjunNah/DeepDeblur_release issue 49",
        windows=(5,),
        factor=16,
        stride=5,
        duty=1.0,
        capture_fps=120.0,
        published_duty=0.8,
        # unverified: the camera's own inverse response; --response takes a measured curve
        unverified=("response: the inverse response of the set's own camera is not published",),
    )


def deblurganv2_3840() -> SynthesisRecipe:
    """The 3840 fps mix of DeblurGAN-v2: 240 fps interpolated 16x, mean over the same time window."""
    return SynthesisRecipe(
        name="deblurganv2_3840",
        profile="mean",
        source="Kupyn et al., DeblurGAN-v2, ICCV 2019: 240 fps video interpolated to 3840 fps and averaged",
        factor=16,
        duty=1.0,
        capture_fps=240.0,
        # unverified: both are left to --window and --response
        unverified=(
            "windows: the number of captured frames is not stated",
            "response: the light domain of the mean is not stated",
        ),
    )


def rsblur_like() -> SynthesisRecipe:
    """RSBlur's synthetic blur: 9 sharp frames interpolated 8x (three halvings), mean of 65 in linear light (sRGB).

    Noise, saturation and the image pipeline that belong to it are `--camera rsblur`.
    """
    return SynthesisRecipe(
        name="rsblur_like",
        profile="mean",
        source="Rim et al., Realistic Blur Synthesis for Learning Image Deblurring, ECCV 2022; rimchang/RSBlur issue 4",
        windows=(9,),
        factor=8,
        response="srgb",
        duty=1.0,
    )


def hide_like() -> SynthesisRecipe:
    """HIDE: the mean of 11 captured frames of 240 fps, nothing interpolated, the middle frame is sharp."""
    return SynthesisRecipe(
        name="hide_like",
        profile="mean",
        source="HIDE: Shen et al., Human-Aware Motion Deblurring, ICCV 2019",
        windows=(11,),  # unverified
        factor=1,
        response="linear",  # unverified
        duty=1.0,
        averages_encoded=True,
        capture_fps=240.0,  # unverified
        unverified=(
            "windows: 11 captured frames",
            "factor: nothing is interpolated",
            "sharp frame: the middle one",
            "response: pixel values are averaged as they are",
            "capture_fps: 240",
        ),
    )


RECIPES: dict[str, Callable[[], SynthesisRecipe]] = {
    "trapezoid": trapezoid,
    "mean": mean,
    "gopro_like": gopro_like,
    "dvd_like": dvd_like,
    "reds_like": reds_like,
    "deblurganv2_3840": deblurganv2_3840,
    "rsblur_like": rsblur_like,
    "hide_like": hide_like,
}


def recipe(name: str | None, factor: int | None) -> SynthesisRecipe:
    """The recipe of that name; without one, the trapezoid, or the plain mean where nothing is interpolated (factor 1).

    Errors: ValueError that lists what exists.
    """
    if name is None:
        name = "mean" if factor == 1 else "trapezoid"
    if name not in RECIPES:
        raise ValueError(unknown("there is no recipe", name, RECIPES))
    return RECIPES[name]()


def require_agreement(
    chosen: SynthesisRecipe,
    *,
    windows: tuple[int, ...],
    factor: int,
    stride: int | None,
    response: str,
    duty: float,
) -> None:
    """Errors: ValueError, one sentence, if a value contradicts the recipe (some of its windows do not)."""
    if chosen.windows is not None and not set(windows) <= set(chosen.windows):
        _contradiction(chosen, "--window", ",".join(map(str, chosen.windows)), ",".join(map(str, windows)))
    if chosen.factor not in (None, factor):
        _contradiction(chosen, "--interp", f"{chosen.factor}x", f"{factor}x")
    if chosen.stride not in (None, stride):
        _contradiction(chosen, "--stride", str(chosen.stride), str(stride or "the window"))
    if chosen.response not in (None, response):
        _contradiction(chosen, "--response", str(chosen.response), response)
    if chosen.duty not in (None, duty):
        whole = "1 (its shutter is open for the whole window)" if chosen.duty == 1 else f"{chosen.duty:g}"
        _contradiction(chosen, "--duty", whole, f"{duty:g}")


def _contradiction(chosen: SynthesisRecipe, flag: str, fixed: str, given: str) -> None:
    raise ValueError(
        f"the recipe {chosen.name} sets {flag} to {fixed}, got {given}; leave {flag} out, or choose another recipe"
    )
