"""A blurred frame from an array of frames: what make_pairs.py does to a window of a clip, without files."""

from __future__ import annotations

import numpy as np

from core.camera_response import response as response_named
from core.command_line import unknown
from synth.exposure import SHUT, Exposure
from synth.gaps import GapJob, integrate_gap, measure_gap, with_neighbours
from synth.interp import INTERPOLATORS


def blur(
    frames: np.ndarray,
    *,
    factor: int = 16,
    interpolator: str = "flow",
    response: str = "srgb",
    profile: str = "trapezoid",
    duty: float = 1.0,
) -> np.ndarray:
    """The image that a camera would have taken whose shutter was open from the first frame to the last.

    Between every two frames `factor` - 1 virtual ones are interpolated, and all are averaged in linear light. The sharp
    image that belongs to it is the middle frame, `frames[len(frames) // 2]`.

    Parameters
    ----------
    frames : numpy.ndarray
        [T, H, W, 3] uint8 RGB, sRGB-encoded, consecutive in time; T odd, 3 or more.
    factor : int
        Steps of a gap between two frames; 1: no virtual frames.
    interpolator : str
        Of `synth.interp.INTERPOLATORS`: "flow", "flow-fast", "flow-best", "crossfade", ...
    response : str
        The camera's response, "srgb", "gamma2.2", "linear" or a file (core/camera_response.py).
    profile : str
        "trapezoid" or "mean" (synth/exposure.py).
    duty : float
        Share of the time for which the shutter is open, around the middle frame. In (0, 1].

    Returns
    -------
    numpy.ndarray
        [H, W, 3] float32, sRGB-encoded (encoded by `response`), in [0, 1].

    Raises
    ------
    ValueError
        For another type or shape, an even number of frames, a scene cut between them, an unknown name.

    Examples
    --------
    >>> from synth import blur
    >>> frames = np.zeros((3, 32, 48, 3), dtype=np.uint8)
    >>> frames[:, :, 24:] = 255  # dark and bright, standing still
    >>> frames[1:, :, 20:24] = 255  # a stripe that lights up
    >>> blurred = blur(frames, factor=2, interpolator="crossfade")
    >>> print(f"{blurred[0, 21, 0]:.3f}")  # 3/4 of the light, encoded
    0.881
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(
            f"frames: uint8 RGB of shape [T, H, W, 3] is needed, got {frames.dtype} of {list(frames.shape)}"
        )
    exposure = Exposure(frames=len(frames), factor=factor, profile=profile, duty=duty)
    if interpolator not in INTERPOLATORS:
        raise ValueError(unknown("there is no interpolator", interpolator, INTERPOLATORS))
    moving = INTERPOLATORS[interpolator]() if factor > 1 else None
    curve = response_named(response)
    shares = [exposure.share(gap) for gap in range(len(frames) - 1)]
    jobs = [
        GapJob(
            gap=gap,
            first=np.ascontiguousarray(frames[gap]),
            second=np.ascontiguousarray(frames[gap + 1]),
            whole=share is None,
            parts=() if share is None or share == SHUT else (share,),
        )
        for gap, share in enumerate(shares)
    ]
    total_lin: np.ndarray | None = None
    for job in with_neighbours(measure_gap(job, moving) for job in jobs):
        part = integrate_gap(job, moving, factor, curve)
        if part.cut:
            raise ValueError(
                f"there is a scene cut between frames {job.gap} and {job.gap + 1}; blur one scene at a time"
            )
        share = shares[job.gap]
        gap_lin = part.integral_lin if share is None else part.parts_lin.get(share)
        if gap_lin is not None:
            total_lin = gap_lin if total_lin is None else total_lin + gap_lin
    assert total_lin is not None  # the shutter is open in the middle
    ends_lin = (curve.to_linear(frames[index].astype(np.float32) / np.float32(255)) for index in (0, -1))
    return curve.to_encoded(exposure.blur_lin(total_lin, *ends_lin)).clip(0, 1)
