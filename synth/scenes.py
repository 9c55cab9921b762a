"""Rendered scenes at 3840 fps whose true blur is known: photographs under camera shake with a moving foreground.

A scene is a photograph in the background and a piece of another one, cut by a soft matte, in front of it. Both follow a
smooth 6-DoF camera shake; the foreground follows it further (parallax) and moves on its own. Everything is composed in
linear light, and any frame can be asked for at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synth.layers import Layer, background_layer, cut_out_layer, lay_over, render_background
from synth.rng import stream
from synth.shake import HAND_BAND_HZ, Shake, blur_extent_px, draw_shake, homographies

VIRTUAL_FPS = 3840.0
CAPTURED_FPS = 240.0
WINDOW_FRAMES = 11  # captured frames in the window that a scene's extent refers to
PHOTOGRAPHS: dict[str, tuple[str, ...]] = {
    # All ship inside scikit-image's wheel (skimage/data/). No photograph is in two of the lists, and the two views of
    # the motorcycle are in one of them: what is scored has never been trained on.
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
    ),
}
PARALLAX = 1.35  # shift of the foreground for a shift of 1 of the background
OWN_MOTION = 0.5  # extent of the foreground's own motion, in extents of the camera's


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What to render. Two equal scenes render the same frames, in any order, in any thread or process.

    photographs: (background, foreground), file names in scikit-image's data folder. extent_px: the blur extent of the
    background (`synth.shake.blur_extent_px`) over a window of 11 frames at 240 fps, mean over `duration_s`. band_hz:
    the shake's frequencies. focus: which part of the background photograph is in the middle, as fractions (x, y).
    magnification: frame px per photograph px; 0 = the frame covers as much of the photograph as it can, at most 1.3.
    foreground: False leaves the second layer out. Units: px of the frame, Hz, s.
    """

    name: str
    photographs: tuple[str, str]
    height: int
    width: int
    seed: int
    extent_px: float = 20.0
    band_hz: tuple[float, float] = HAND_BAND_HZ
    virtual_fps: float = VIRTUAL_FPS
    duration_s: float = 66 / CAPTURED_FPS
    focus: tuple[float, float] = (0.5, 0.5)
    magnification: float = 0.0
    foreground: bool = True

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
