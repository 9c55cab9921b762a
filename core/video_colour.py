"""The stored planes of a video frame and its RGB: colour matrices, ranges, bit depths, colour at reduced resolution.

A restored frame is written as the stored planes plus what the network changed in them: where it changed nothing, the
planes are those of the source, whatever their matrix, range and rounding.

Source of the matrices and ranges: ITU-T H.273, equations 11 to 40.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.video import colour_matrix

if TYPE_CHECKING:
    import av

# Share of red and of blue in luma, by the number of the matrix.
LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
LUMA |= {9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
STUDIO_RANGE, FULL_RANGE = 1, 2  # FFmpeg's numbers
SAMPLINGS = {(2, 2): "420", (2, 1): "422", (1, 1): "444"}  # luma samples to one of colour, across and down


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How planes stand for RGB. matrix: a number of H.273. full: 0 is black and 2^bits - 1 white, else studio range.

    across, down: luma samples to one sample of colour.
    """

    matrix: int
    full: bool
    bits: int
    across: int
    down: int

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the planes."""
        return f"yuv{SAMPLINGS[self.across, self.down]}p" + ("" if self.bits == 8 else f"{self.bits}le")

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """(black, white minus black, neutral colour, span of colour) in code values."""
        step = 2.0 ** (self.bits - 8)
        if self.full:
            return 0.0, 2.0**self.bits - 1, 128 * step, 2.0**self.bits - 1
        return 16 * step, 219 * step, 128 * step, 224 * step


def coding_of(frame: av.VideoFrame) -> Coding:
    """The coding of a frame's planes as `planes_of` gives them. RGB frames: as BT.709, studio range.

    Errors: ValueError for a matrix that is none of BT.601, BT.709, BT.2020 and their older kin.
    """
    name = frame.format.name
    bits = min(16, max(8, *(component.bits for component in frame.format.components)))
    if frame.format.is_rgb or frame.format.has_palette or is_grey(frame):
        full = is_grey(frame) and int(frame.color_range) != STUDIO_RANGE  # FFmpeg takes grey for full
        across, down = (2, 2) if is_grey(frame) and not (frame.width % 2 or frame.height % 2) else (1, 1)
        return Coding(matrix=1, full=full, bits=bits, across=across, down=down)
    matrix = colour_matrix(frame)
    if matrix not in LUMA:
        raise ValueError(f"the colour matrix number {matrix} (ITU-T H.273) is not known here; convert the video first")
    full = int(frame.color_range) == FULL_RANGE or "yuvj" in name
    across = -(-frame.width // frame.format.chroma_width(frame.width)) if frame.width > 1 else 1
    down = -(-frame.height // frame.format.chroma_height(frame.height)) if frame.height > 1 else 1
    if (across, down) not in SAMPLINGS or frame.width % across or frame.height % down:
        across, down = 1, 1
    return Coding(matrix=matrix, full=full, bits=bits, across=across, down=down)


def is_grey(frame: av.VideoFrame) -> bool:
    """Has the frame no colour?"""
    return frame.format.name.startswith(("gray", "mono", "ya"))


def planes_of(frame: av.VideoFrame, coding: Coding) -> list[np.ndarray]:
    """Luma and two of colour in code values. Shape: three [H, W] float32, the last two at their resolution."""
    if frame.format.is_rgb or frame.format.has_palette:
        return from_rgb(_stored_rgb(frame, coding.bits), coding)
    if is_grey(frame):
        grey = frame if frame.format.name.startswith("gray") else frame.reformat(format="gray")
        luma = _plane(grey, 0, coding.bits)
        neutral = np.full((luma.shape[0] // coding.down, luma.shape[1] // coding.across), coding.scales[2], np.float32)
        return [luma, neutral, neutral.copy()]
    plain = re.sub("^yuv(j|a)", "yuv", frame.format.name)  # the same planes, and one of transparency after them
    if plain != coding.pixel_format:
        span = FULL_RANGE if coding.full else 1
        frame = frame.reformat(format=coding.pixel_format, src_color_range=span, dst_color_range=span)
    return [_plane(frame, index, coding.bits) for index in range(3)]


def to_rgb(planes: Sequence[np.ndarray], coding: Coding) -> np.ndarray:
    """Shape: planes as `planes_of` gives them -> [H, W, 3] float32. Range: encoded RGB, cut off to [0, 1]."""
    black, luma_span, neutral, colour_span = coding.scales
    red_share, blue_share = LUMA[coding.matrix]
    luma = (planes[0] - np.float32(black)) / np.float32(luma_span)
    blue, red = (
        (_larger(plane, coding) - np.float32(neutral)) / np.float32(colour_span) for plane in (planes[1], planes[2])
    )
    rgb = np.empty((*luma.shape, 3), np.float32)
    rgb[..., 0] = luma + np.float32(2 * (1 - red_share)) * red
    rgb[..., 2] = luma + np.float32(2 * (1 - blue_share)) * blue
    green_share = 1 - red_share - blue_share
    rgb[..., 1] = (luma - np.float32(red_share) * rgb[..., 0] - np.float32(blue_share) * rgb[..., 2]) / np.float32(
        green_share
    )
    return np.clip(rgb, 0, 1, out=rgb)


def from_rgb(rgb: np.ndarray, coding: Coding) -> list[np.ndarray]:
    """The inverse of `to_rgb`: planes in code values, not rounded. Shape: [H, W, 3] float32 -> three float32."""
    black, luma_span, neutral, colour_span = coding.scales
    red_share, blue_share = LUMA[coding.matrix]
    shares = np.array([red_share, 1 - red_share - blue_share, blue_share], np.float32)
    luma = rgb @ shares
    blue = (rgb[..., 2] - luma) / np.float32(2 * (1 - blue_share))
    red = (rgb[..., 0] - luma) / np.float32(2 * (1 - red_share))
    colours = [_smaller(colour, coding) * np.float32(colour_span) + np.float32(neutral) for colour in (blue, red)]
    return [luma * np.float32(luma_span) + np.float32(black), *colours]


def rounded(planes: Sequence[np.ndarray], bits: int, to_bits: int) -> list[np.ndarray]:
    """Planes in code values of `bits` as whole ones of `to_bits`: uint8, or uint16 from 9 bits up."""
    kind = np.uint8 if to_bits == 8 else np.uint16
    scale, most = np.float32(2.0 ** (to_bits - bits)), 2**to_bits - 1
    return [np.clip(np.rint(plane * scale), 0, most).astype(kind) for plane in planes]


def to_frame(planes: Sequence[np.ndarray], coding: Coding) -> av.VideoFrame:
    """A frame of whole code values (`rounded`), whose colour matrix and range are named."""
    import av

    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, coding.pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = np.ascontiguousarray(values).view(np.uint8).reshape(values.shape[0], -1)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    frame.colorspace = coding.matrix
    frame.color_range = FULL_RANGE if coding.full else 1
    return frame


def _plane(frame: av.VideoFrame, index: int, bits: int) -> np.ndarray:
    plane = frame.planes[index]
    kind = np.uint8 if bits == 8 else np.dtype(">u2" if frame.format.name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width * np.dtype(kind).itemsize].copy().view(kind).astype(np.float32)


def _stored_rgb(frame: av.VideoFrame, bits: int) -> np.ndarray:
    """Shape: [H, W, 3] float32. Range: [0, 1]."""
    if bits == 8:
        return frame.to_ndarray(format="rgb24").astype(np.float32) / np.float32(255)
    if frame.format.name.startswith("gbrp") and "f" not in frame.format.name:
        green, blue, red = (_plane(frame, index, bits) for index in range(3))
        return np.dstack([red, green, blue]) / np.float32(2**bits - 1)
    return frame.to_ndarray(format="rgb48le").astype(np.float32) / np.float32(65535)


def _larger(plane: np.ndarray, coding: Coding) -> np.ndarray:
    """Colour at the resolution of luma, linear: its samples lie on every second column (in the middle between two for
    full range, as JPEG has them) and in the middle between two rows.
    """
    plane = plane.astype(np.float32, copy=False)
    if coding.down == 2:
        above, below = _shifted(plane, 1, 0), _shifted(plane, -1, 0)
        larger = np.empty((2 * plane.shape[0], plane.shape[1]), np.float32)
        larger[0::2] = 0.75 * plane + 0.25 * above
        larger[1::2] = 0.75 * plane + 0.25 * below
        plane = larger
    if coding.across == 2:
        left, right = _shifted(plane, 1, 1), _shifted(plane, -1, 1)
        larger = np.empty((plane.shape[0], 2 * plane.shape[1]), np.float32)
        larger[:, 0::2] = 0.75 * plane + 0.25 * left if coding.full else plane
        larger[:, 1::2] = 0.75 * plane + 0.25 * right if coding.full else 0.5 * (plane + right)
        plane = larger
    return plane


def _smaller(plane: np.ndarray, coding: Coding) -> np.ndarray:
    """Colour at its own resolution: means around the places of `_larger`."""
    if coding.across == 2 and coding.full:
        plane = 0.5 * (plane[:, 0::2] + plane[:, 1::2])
    elif coding.across == 2:
        plane = 0.5 * plane[:, 0::2] + 0.25 * (_shifted(plane, 1, 1)[:, 0::2] + plane[:, 1::2])
    if coding.down == 2:
        plane = 0.5 * (plane[0::2] + plane[1::2])
    return plane


def _shifted(plane: np.ndarray, by: int, axis: int) -> np.ndarray:
    """The plane moved by one sample, its edge repeated."""
    moved = np.roll(plane, by, axis=axis)
    edge = [slice(None), slice(None)]
    edge[axis] = slice(0, 1) if by > 0 else slice(-1, None)
    moved[tuple(edge)] = plane[tuple(edge)]
    return moved
