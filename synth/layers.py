"""Image layers of rendered scenes: photographs in linear light, at twice the frame's resolution, and cut-outs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from synth import camera
from synth.image_files import read_header, read_image
from synth.shake import translation

# Grey photographs are used as tinted textures. Linear-light RGB factors, at most 1.
TINTS: dict[str, tuple[float, float, float]] = {
    "brick.png": (1.0, 0.62, 0.45),
    "camera.png": (1.0, 0.97, 0.90),
    "coins.png": (1.0, 0.90, 0.70),
    "grass.png": (0.72, 1.0, 0.42),
    "gravel.png": (1.0, 0.94, 0.84),
    "moon.png": (0.92, 0.95, 1.0),
    "page.png": (1.0, 0.99, 0.94),
    "text.png": (1.0, 0.97, 0.88),
}
MAX_MAGNIFICATION = 1.3  # beyond it a photograph looks soft, and a soft "sharp" image teaches nothing
OVERSAMPLING = 2  # bilinear sampling of a layer at twice the frame's resolution loses little sharpness
MATTE_EDGE_PX = 3.0
_SAMPLING = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """Shape: pixels [h, w, 3] float32 linear light, or [h, w, 4] (colour times matte, matte) for a cut-out.

    placement: homography from the layer's pixels to the frame's, before any motion.
    """

    pixels: np.ndarray
    placement: np.ndarray


def photograph_lin(name: str) -> np.ndarray:
    """A photograph of scikit-image's wheel, or any file with an absolute path. Shape: [h, w, 3] float32 RGB.

    Range: linear light in [0, 1]. Errors: FileNotFoundError if it is not installed; ValueError if it is damaged.
    """
    path = Path(name) if Path(name).is_absolute() else _shipped(name)
    response = camera.response("srgb")
    if read_header(path).mode != "grey":
        return response.to_linear(read_image(path))
    grey = cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError(f"{path}: this photograph is damaged and cannot be decoded")
    tint = np.array(TINTS.get(name, (1.0, 1.0, 1.0)), dtype=np.float32)
    return response.to_linear(np.repeat(grey[..., None], 3, axis=2)) * tint


def _shipped(name: str) -> Path:
    """Where a photograph of scikit-image's wheel lies. Errors: FileNotFoundError if it is not there."""
    spec = find_spec("skimage")  # only its place: importing scikit-image takes seconds, and its loaders may download
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0] if places else "skimage") / "data" / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this photograph of scikit-image is missing; install scikit-image >= 0.25")
    return path


def background_layer(
    photograph: str, height: int, width: int, focus: tuple[float, float], magnification: float
) -> Layer:
    """A photograph behind a frame of height x width. Units: frame px.

    focus: which part of the photograph is in the frame's middle, as fractions (x, y), as far as its borders allow.
    magnification: frame px per photograph px; 0 = as much of the photograph as covers the frame, at most 1.3.
    """
    image_lin = photograph_lin(photograph)
    if not magnification:
        room = 1.06  # a little more than the frame, so that shake seldom reaches the mirrored border
        cover = room * max(width / image_lin.shape[1], height / image_lin.shape[0])
        magnification = min(MAX_MAGNIFICATION, cover)
    pixels = _resized(image_lin, magnification)
    corner_x = -_start(focus[0], pixels.shape[1] / OVERSAMPLING, width)
    corner_y = -_start(focus[1], pixels.shape[0] / OVERSAMPLING, height)
    return _layer(pixels, corner_x, corner_y)


def cut_out_layer(photograph: str, height: int, width: int, rng: np.random.Generator) -> Layer:
    """A piece of a photograph in front of a frame of height x width: a wavy disc with a soft edge at a random place."""
    radius_px = rng.uniform(0.19, 0.26) * min(height, width)
    centre_x, centre_y = rng.uniform(0.25, 0.75) * width, rng.uniform(0.35, 0.7) * height
    waves = np.arange(2, 6)
    amplitudes, phases = rng.uniform(0, 0.12, 4) / (waves - 1), rng.uniform(0, 2 * np.pi, 4)
    half_px = int(np.ceil(radius_px * (1 + amplitudes.sum()) + 2 * MATTE_EDGE_PX))
    side = 2 * half_px * OVERSAMPLING

    image_lin = photograph_lin(photograph)
    colour = _resized(image_lin, min(MAX_MAGNIFICATION, 2.6 * half_px / min(image_lin.shape[:2])))
    pad_y, pad_x = (max(0, side - length) for length in colour.shape[:2])
    colour = cv2.copyMakeBorder(
        colour, pad_y // 2, pad_y - pad_y // 2, pad_x // 2, pad_x - pad_x // 2, cv2.BORDER_REFLECT_101
    )
    top, left = (int(rng.integers(0, length - side + 1)) for length in colour.shape[:2])
    colour = colour[top : top + side, left : left + side]

    positions = (np.arange(side) + 0.5) / OVERSAMPLING - half_px
    rows, columns = np.meshgrid(positions, positions, indexing="ij")
    angles = np.arctan2(rows, columns)[..., None] * waves + phases  # [side, side, waves]
    edge_px = radius_px * (1 + (amplitudes * np.cos(angles)).sum(axis=-1))
    ramp = np.clip((edge_px - np.hypot(rows, columns)) / (2 * MATTE_EDGE_PX) + 0.5, 0, 1)
    matte = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)[..., None]
    return _layer(np.concatenate([colour * matte, matte], axis=2), centre_x - half_px, centre_y - half_px)


def render_background(layer: Layer, motion: np.ndarray, height: int, width: int) -> np.ndarray:
    """The frame that shows a layer moved by the homography `motion`; beyond its border it is mirrored.

    Shape: [height, width, 3] float32, a new array.
    """
    inverse = np.linalg.inv(motion @ layer.placement)
    return cv2.warpPerspective(
        layer.pixels, inverse, (width, height), flags=_SAMPLING, borderMode=cv2.BORDER_REFLECT_101
    )


def lay_over(frame_lin: np.ndarray, layer: Layer, motion: np.ndarray) -> None:
    """Lay a moved cut-out over a frame, in place; only the rectangle that it can touch is warped."""
    placed = motion @ layer.placement
    side_y, side_x = layer.pixels.shape[:2]
    corners = placed @ np.array([[0, side_x, 0, side_x], [0, 0, side_y, side_y], [1, 1, 1, 1]], dtype=np.float64)
    columns, rows = corners[:2] / corners[2]
    height, width = frame_lin.shape[:2]
    left, right = max(0, int(columns.min()) - 1), min(width, int(columns.max()) + 2)
    top, bottom = max(0, int(rows.min()) - 1), min(height, int(rows.max()) + 2)
    if left >= right or top >= bottom:
        return
    inverse = np.linalg.inv(placed) @ translation(left, top)
    size = (right - left, bottom - top)
    warped = cv2.warpPerspective(layer.pixels, inverse, size, flags=_SAMPLING, borderMode=cv2.BORDER_CONSTANT)
    part = frame_lin[top:bottom, left:right]
    part *= 1 - warped[..., 3:]
    part += warped[..., :3]


def _resized(image_lin: np.ndarray, magnification: float) -> np.ndarray:
    """An image at OVERSAMPLING times the frame's resolution, without detail finer than the frame can show."""
    height, width = (max(2, round(side * magnification)) for side in image_lin.shape[:2])
    if magnification < 1:  # area averaging keeps fine detail from aliasing
        image_lin = cv2.resize(image_lin, (width, height), interpolation=cv2.INTER_AREA)
    size = (width * OVERSAMPLING, height * OVERSAMPLING)
    return np.clip(cv2.resize(image_lin, size, interpolation=cv2.INTER_LANCZOS4), 0.0, 1.0)


def _start(focus: float, layer_px: float, frame_px: int) -> float:
    """Where the frame starts on a layer: with `focus` in its middle, but not beyond the ends of a larger layer."""
    if layer_px <= frame_px:
        return (layer_px - frame_px) / 2
    return float(np.clip(focus * layer_px - frame_px / 2, 0, layer_px - frame_px))


def _layer(pixels: np.ndarray, corner_x: float, corner_y: float) -> Layer:
    """A layer whose top left corner is at (corner_x, corner_y) px of the frame."""
    pixels.setflags(write=False)
    step = 1 / OVERSAMPLING  # centre of the layer's pixel u in frame px: (u + 0.5) step - 0.5
    placement = translation(corner_x + step / 2 - 0.5, corner_y + step / 2 - 0.5) @ np.diag([step, step, 1.0])
    return Layer(pixels=pixels, placement=placement)
