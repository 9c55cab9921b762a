"""Rendered scenes at 3840 fps whose true blur is known: photographs under camera shake with a moving foreground.

A scene is a photograph in the background and a piece of another one, cut by a soft matte, in front of it. Both follow a
smooth 6-DoF camera shake; the foreground follows it further (parallax) and moves on its own. The two layers are held in
linear light at twice the frame's resolution. Any frame can be asked for at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from core import camera_response
from core.camera_response import CameraResponse, to_8bit
from core.frame_times import FrameTimes
from core.image_files import read_header, read_image
from core.random_streams import stream
from core.video import Wanted
from synth.shake import HAND_BAND_HZ, Shake, blur_extent_px, draw_shake, homographies, translation

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
CC0_FOLDER = Path(__file__).resolve().parent / "cc0"  # photographs in the public domain; see its README.md
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
    """A photograph of synth/cc0 or of scikit-image's wheel, or any absolute path. Shape: [h, w, 3] float32 RGB.

    Range: linear light in [0, 1]. Errors: FileNotFoundError if it is not installed; ValueError if it is damaged.
    """
    path = Path(name) if Path(name).is_absolute() else _shipped(name)
    response = camera_response.response("srgb")
    if read_header(path).mode != "grey":
        return response.to_linear(read_image(path, convert=True))
    grey = cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise ValueError(f"{path}: this photograph is damaged and cannot be decoded")
    tint = np.array(TINTS.get(name, (1.0, 1.0, 1.0)), dtype=np.float32)
    return response.to_linear(np.repeat(grey[..., None], 3, axis=2)) * tint


def _shipped(name: str) -> Path:
    """Where a photograph of synth/cc0 or scikit-image's wheel lies. Errors: FileNotFoundError if it is not there."""
    if (own := CC0_FOLDER / name).is_file():
        return own
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


VIRTUAL_FPS = 3840.0
CAPTURED_FPS = 240.0
WINDOW_FRAMES = 11  # captured frames in the window that a scene's extent refers to
PHOTOGRAPHS: dict[str, tuple[str, ...]] = {
    # They ship inside scikit-image's wheel (skimage/data/) or in synth/cc0. No photograph is in two of the lists, and
    # the two views of the motorcycle are in one of them: what is scored has never been trained on.
    "train": ("astronaut.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "brick.png", "grass.png"),
    "val": ("ihc.png", "page.png", "moon.png"),
    "test": (
        "motorcycle_left.png",
        "motorcycle_right.png",
        "chelsea.png",
        "camera.png",
        "coins.png",
        "gravel.png",
        "text.png",
        "colorful-wall.jpg",
        "dog-lossless.png",
        "kitten-on-lawn.jpg",
        "mies-lossless.png",
        "motherboard-circuits.jpg",
        "oakland-zoo-otters.jpg",
        "orange-hallway.jpg",
        "perched-osprey.jpg",
        "roman-colosseum.jpg",
        "san-francisco-skyline.jpg",
        "singaporean-cityscape.jpg",
        "taipei-city.jpg",
    ),
}
PARALLAX = 1.35  # shift of the foreground for a shift of 1 of the background
OWN_MOTION = 0.5  # extent of the foreground's own motion, in extents of the camera's


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What to render. Two equal scenes render the same frames, in any order, in any thread or process."""

    name: str
    photographs: tuple[str, str]  # (background, foreground), file names of `photograph_lin`
    height: int  # px
    width: int  # px
    seed: int
    # The blur extent of the background (`synth.shake.blur_extent_px`) over a window of 11 frames at 240 fps, mean over
    # `duration_s`; px of the frame.
    extent_px: float = 20.0
    band_hz: tuple[float, float] = HAND_BAND_HZ  # the shake's frequencies
    virtual_fps: float = VIRTUAL_FPS
    duration_s: float = 66 / CAPTURED_FPS
    # which part of the background photograph is in the middle, as fractions (x, y)
    focus: tuple[float, float] = (0.5, 0.5)
    # frame px per photograph px; 0: the frame covers as much of the photograph as it can, at most 1.3
    magnification: float = 0.0
    foreground: bool = True  # False leaves the second layer out

    def frame_lin(self, index: float) -> np.ndarray:
        """The frame at time index / virtual_fps; any index, whole or not.

        Shape: [H, W, 3] float32, RGB, a new array. Range: linear light in [0, 1].
        Errors: FileNotFoundError if scikit-image's photographs are not installed.
        """
        background, cut_out = _layers(self)
        pose, own_pose = self._poses(index / self.virtual_fps)
        frame = render_background(background, homographies(pose, self.height, self.width), self.height, self.width)
        if cut_out is not None:
            lay_over(frame, cut_out, homographies(own_pose, self.height, self.width))
        return np.clip(frame, 0.0, 1.0, out=frame)

    def path(self, first: float, last: float, positions: int = 33) -> np.ndarray:
        """Homographies of the background at `positions` instants from one frame index to another. Shape: [N, 3, 3]."""
        times_s = np.linspace(first, last, positions) / self.virtual_fps
        return homographies(self._poses(times_s)[0], self.height, self.width)

    def window_extent_px(self, first: float, last: float) -> float:
        """Blur extent of the background between two frame indices. Units: px."""
        return blur_extent_px(self.path(first, last), self.height, self.width)

    @property
    def description(self) -> str:
        """One line for logs and manifests."""
        low_hz, high_hz = self.band_hz
        front = f" with {self.photographs[1]} in front" if self.foreground else ""
        return (
            f"{self.name}: {self.photographs[0]}{front}, {self.width}x{self.height}, {self.extent_px:g} px of blur per "
            f"{WINDOW_FRAMES} frames, shake {low_hz:g}-{high_hz:g} Hz"
        )

    def _poses(self, time_s: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shake, own = _shakes(self)
        pose = shake.poses(time_s)
        return pose, pose * np.array([PARALLAX, PARALLAX, 1, 1, 1, 1]) + own.poses(time_s)


@dataclass(frozen=True, kw_only=True)
class SceneClip:
    """A scene and how many captured frames make a clip of it; frame i is virtual frame i * virtual_fps / fps."""

    scene: Scene
    frame_count: int
    fps: float = CAPTURED_FPS


def blur_lin(scene: Scene, first_virtual: int, last_virtual: int) -> np.ndarray:
    """The true blur: the mean of all virtual frames from first to last, the two end ones weighted by half.

    Shape: [H, W, 3] float32. Range: linear light in [0, 1].
    Errors: ValueError if last_virtual <= first_virtual.
    """
    if last_virtual <= first_virtual:
        raise ValueError(f"a blur needs at least two virtual frames, got {first_virtual} to {last_virtual}")
    total = (scene.frame_lin(first_virtual) + scene.frame_lin(last_virtual)) / 2
    for index in range(first_virtual + 1, last_virtual):
        total += scene.frame_lin(index)
    return total / np.float32(last_virtual - first_virtual)


def default_scenes(split: str, seed: int) -> tuple[SceneClip, ...]:
    """The embedded source of `make_pairs.py`: 640x360 clips of whole 11-frame windows.

    train: 5 clips, 30 windows, about 2 to 35 px of blur; val and test: 2 clips, 6 windows each. Photographs of splits
    are disjoint (PHOTOGRAPHS). The seed changes motion and mattes.
    Errors: ValueError for another split.
    """
    if split not in PHOTOGRAPHS:
        raise ValueError(f"the split is one of {', '.join(PHOTOGRAPHS)}, got {split!r}")
    rows = {
        "train": (
            ("astronaut", "astronaut.png", "brick.png", 4.0, (0.5, 0.3), 66),
            ("coffee", "coffee.png", "rocket.jpg", 7.0, (0.5, 0.5), 66),
            ("rocket", "rocket.jpg", "astronaut.png", 10.0, (0.5, 0.7), 66),
            ("bricks", "brick.png", "coffee.png", 14.0, (0.5, 0.5), 66),
            ("stars", "hubble_deep_field.jpg", "grass.png", 20.0, (0.5, 0.5), 66),
        ),
        "val": (
            ("tissue", "ihc.png", "page.png", 7.0, (0.5, 0.3), 33),
            ("tissue-fast", "ihc.png", "moon.png", 14.0, (0.5, 0.7), 33),
        ),
        "test": (
            ("motorcycle", "motorcycle_left.png", "gravel.png", 14.0, (0.5, 0.5), 33),
            ("cameraman", "camera.png", "coins.png", 24.0, (0.5, 0.4), 33),
        ),
    }[split]
    return tuple(
        SceneClip(
            scene=Scene(
                name=name,
                photographs=(background, foreground),
                height=360,
                width=640,
                seed=seed,
                extent_px=extent_px,
                focus=focus,
                duration_s=frames / CAPTURED_FPS,
            ),
            frame_count=frames,
        )
        for name, background, foreground, extent_px, focus, frames in rows
    )


@lru_cache(maxsize=16)
def _shakes(scene: Scene) -> tuple[Shake, Shake]:
    """Camera shake and the foreground's own motion, scaled so that the mean extent over the clip is as asked."""
    own_band_hz = (min(2.0, scene.band_hz[0]), max(min(8.0, scene.band_hz[1]), min(2.0, scene.band_hz[0])))
    drawn = (
        draw_shake(scene.seed, scene.name, "camera", band_hz=scene.band_hz),
        draw_shake(scene.seed, scene.name, "foreground", band_hz=own_band_hz),
    )
    window_s = (WINDOW_FRAMES - 1) / CAPTURED_FPS
    starts_s = np.arange(0, max(scene.duration_s - window_s, 0) + 1e-9, window_s / 2)
    scaled = []
    for shake, wanted_px in zip(drawn, (scene.extent_px, scene.extent_px * OWN_MOTION), strict=True):
        factor = 0.0 if wanted_px == 0 else 1.0
        for _ in range(3 if wanted_px else 0):  # the extent is nearly, not exactly, proportional to the amplitude
            extents = [
                blur_extent_px(
                    homographies(
                        shake.scaled(factor).poses(start_s + np.linspace(0, window_s, 17)), scene.height, scene.width
                    ),
                    scene.height,
                    scene.width,
                )
                for start_s in starts_s
            ]
            factor *= wanted_px / float(np.mean(extents))
        scaled.append(shake.scaled(factor))
    return scaled[0], scaled[1]


@lru_cache(maxsize=6)
def _layers(scene: Scene) -> tuple[Layer, Layer | None]:
    background = background_layer(scene.photographs[0], scene.height, scene.width, scene.focus, scene.magnification)
    if not scene.foreground:
        return background, None
    rng = stream(scene.seed, scene.name, "matte")
    return background, cut_out_layer(scene.photographs[1], scene.height, scene.width, rng)


class SceneFrames:
    """The embedded default: a rendered scene, every n-th virtual frame of which is encoded to 8 bit."""

    def __init__(self, clip: SceneClip, response: CameraResponse) -> None:
        self.name = clip.scene.name
        self.location = f"scene:{clip.scene.name}"
        self.fps: float | None = clip.fps
        self.height, self.width = clip.scene.height, clip.scene.width
        self.frame_count: int | None = clip.frame_count
        self.frames_promised: int | None = clip.frame_count
        self.times: FrameTimes | None = None
        self.transfer, self.taken_as_even = "", False
        self.notes: list[str] = []
        # The first frame is in it, so that pairs of another version of the renderer are not taken for these.
        first = to_8bit(response.to_encoded(clip.scene.frame_lin(0)))
        self.fingerprint = hashlib.sha256(repr(clip).encode() + first.tobytes()).hexdigest()
        self._scene = clip.scene
        self._response = response
        self._virtual_per_gap = round(clip.scene.virtual_fps / clip.fps)

    def frames(self, wanted: Wanted, problems: list[str]) -> Iterator[np.ndarray | None]:
        for index in range(self.frame_count or 0):
            if wanted(index):
                frame_lin = self._scene.frame_lin(index * self._virtual_per_gap)
                yield to_8bit(self._response.to_encoded(frame_lin))
            else:
                yield None

    def truth_lin(self, gap: int) -> np.ndarray:
        """True integral of a gap, from every rendered virtual frame before any encoding: trapezoid rule.

        Shape: [H, W, 3] float32. Range: linear light times the virtual frames per gap.
        """
        start = gap * self._virtual_per_gap
        total = self._scene.frame_lin(start) + self._scene.frame_lin(start + self._virtual_per_gap)
        total *= np.float32(0.5)
        for index in range(start + 1, start + self._virtual_per_gap):
            total += self._scene.frame_lin(index)
        return total

    @property
    def truth_weight(self) -> int:
        """Virtual frames that the truth of one gap sums over."""
        return self._virtual_per_gap
