"""Blur drawn on the fly from sharp pictures: what a training sees never repeats, and no pair lies on disk.

An exposure is a camera that moves in six degrees of freedom over a photograph (or along one of the published random
paths), in some with one or two cut-outs of other photographs in front that move on paths of their own, with parallax
and with a rolling shutter. The virtual frames are averaged as light or as plain encoded values (GoPro's folder `blur`
is the latter). The sharp picture is the middle of the exposure, pixel for pixel the photograph: motion is measured
from that moment. Everything is a function of (seed, number).

Sources: the paths are those of synth/shake.py and synth/degrade/motion.py (Boracchi and Foi, 2012; Kupyn et al., 2018);
plain means of 7 to 15 frames: Nah et al., CVPR 2017, section 3. The shares and ranges are our choice (docs/log, 23).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numba import njit

from core import camera_response
from core.image_files import read_image
from core.random_streams import stream
from synth.degrade.motion import EXPOSURES, GAUSSIAN, IMPULSE, IMPULSE_SPREAD_RAD, INERTIA, PATH_PX
from synth.shake import Shake, draw_shake, homographies, translation

OVERSAMPLING = 2  # a texture's pixels per frame pixel and axis; every second texture pixel is a pixel of the photograph
# Of hands that hold a camera, equally likely; two calmer ones than the program's of today (synth/degrade/motion.py).
ANXIETIES = (0.001, 0.002, 0.003, 0.005, 0.007, 0.008, 0.009, 0.01)
SCALES = 3  # sizes that each photograph is kept at
STEP_PX = 0.6  # virtual frames lie about this far apart, at least LEAST_POSITIONS and at most MOST_POSITIONS of them
LEAST_POSITIONS, MOST_POSITIONS = 5, 72
COARSE = np.linspace(-0.5, 0.5, 25)  # times at which a path is measured, in exposures from the middle
FRAME_PX = (360, 1280)  # least and greatest height of the frame that the sample is a part of; its width is 16/9 of it
READOUT = (0.2, 1.5)  # time that a rolling shutter takes over the frame, in exposures
DEPTH = (0.2, 0.6)  # spread of the depths: 1 doubles the motion
CUT_OUT = (0.2, 1.1)  # size of a cut-out, in sides of the sample
SOFT_PX = (0.4, 2.2)  # standard deviation of a picture that is a little out of focus
FOLLOWED = 0.25  # share of the objects that the camera follows
SRGB_SHARE, GAMMA = 0.6, (1.8, 2.4)  # cameras of the means of light: sRGB, or a power
HIGHLIGHT_GAIN = (1.5, 12.0)  # how much brighter than white a clipped light was

PathNumbers = tuple[float, float, float, float, float]  # of a path: see `Motion.path`


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """What is drawn. Shares are between 0 and 1. Ranges are drawn evenly, those of px and noise in the logarithm."""

    side_px: int = 128  # side of the square sample
    extent_px: tuple[float, float] = (1.0, 40.0)  # greatest distance between two positions of the sample's middle
    first_extent_px: float = 40.0  # the greatest extent at the first sample; it grows to extent_px[1] ...
    growth: int = 0  # ... over so many exposures
    duration_s: tuple[float, float] = (0.008, 0.12)  # of the shake: short ones are nearly straight
    scale: tuple[float, float] = (0.45, 1.25)  # frame px per photograph px
    encoded: float = 0.5  # share averaged as plain encoded values
    frames: tuple[int, ...] = (7, 9, 11, 13, 15)  # frames of such a mean, where it is one of a few frames
    few_frames: float = 0.5  # share of the encoded means that are of few frames
    paths: float = 0.15  # share along the published random paths
    foreground: float = 0.4  # share with something in front
    second: float = 0.3  # share of those with a second cut-out
    resting: float = 0.3  # share of those whose camera rests
    parallax: float = 0.25
    rolling: float = 0.2  # share with a rolling shutter
    highlights: float = 0.2  # share of the light means with saturated lights
    soft: float = 0.15  # share of photographs that are a little out of focus, as their target is
    noise: float = 0.3
    noise_sigma: tuple[float, float] = (0.002, 0.03)
    jpeg: float = 0.2
    jpeg_quality: tuple[int, int] = (55, 97)
    candidates: int = 3  # places that a crop is chosen from, by the contrast that blur can take away

    def __post_init__(self) -> None:
        if self.side_px < 16:
            raise ValueError(f"a live sample has at least 16 px a side, got {self.side_px}")
        if not 0 < self.extent_px[0] <= self.extent_px[1] <= 100:
            raise ValueError(f"the blur's extent is LOW,HIGH with 0 < LOW <= HIGH <= 100 px, got {self.extent_px}")

    def most_px(self, number: int) -> float:
        """The greatest extent of exposure number `number`."""
        if number >= self.growth:
            return self.extent_px[1]
        share = number / self.growth
        return float(self.first_extent_px ** (1 - share) * self.extent_px[1] ** share)


USUAL = LiveSettings()


@dataclass(frozen=True, kw_only=True, eq=False)
class Texture:
    """A photograph at twice the frame's resolution.

    Shape: pixels [2h, 2w, 3] uint8 RGB; contrast [h / 8, w / 8] float32, what blur can take away.
    """

    pixels: np.ndarray
    contrast: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in frame px."""
        return self.pixels.shape[0] // OVERSAMPLING, self.pixels.shape[1] // OVERSAMPLING


class Photographs:
    """Sharp pictures of folders, each at some scales, in memory."""

    def __init__(
        self,
        files: Sequence[Sequence[Path]],
        settings: LiveSettings,
        *,
        seed: int,
        scales: int = SCALES,
        shares: Sequence[float] = (),
    ) -> None:
        """files: those of each folder. shares: one per folder; empty: every photograph alike.

        Errors: as `read_image`.
        """
        self.textures: list[list[Texture]] = []
        for paths in files:
            found: list[Texture] = []
            for path in paths:
                picture = read_image(path, convert=True)
                for number in range(scales):
                    scale = log_uniform(stream(seed, path.name, number, "scale"), settings.scale)
                    least = (settings.side_px + 8) / min(picture.shape[:2])
                    found.append(texture(picture, max(scale, least)))
            self.textures.append(found)
        weights = np.array(shares or [len(found) for found in self.textures], dtype=np.float64)
        self.shares = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> Texture:
        """One of the photographs at one of its scales."""
        folder = self.textures[int(rng.choice(len(self.textures), p=self.shares))]
        return folder[int(rng.integers(len(folder)))]


def texture(picture: np.ndarray, scale: float) -> Texture:
    """A photograph for drawing from. Shape: [H, W, 3] uint8 RGB. scale: frame px per photograph px."""
    height, width = (max(16, round(side * scale)) for side in picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    elif scale > 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LANCZOS4)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1)) + np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 4))
    contrast = cv2.resize(edges, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    return Texture(pixels=_doubled(picture), contrast=contrast)


def _doubled(picture: np.ndarray) -> np.ndarray:
    """Twice the resolution: every second pixel stays what it was, those between are interpolated (Lanczos, 8 taps).

    Shape: [h, w, 3] uint8 -> [2h, 2w, 3] uint8.
    """
    offsets = np.arange(-3, 5) - 0.5
    taps = np.sinc(offsets) * np.sinc(offsets / 4)
    taps = (taps / taps.sum()).astype(np.float32)
    height, width = picture.shape[:2]
    pixels = np.empty((height * OVERSAMPLING, width * OVERSAMPLING, 3), np.uint8)
    pixels[::2, ::2] = picture
    pixels[::2, 1::2] = cv2.filter2D(picture, -1, taps[None], anchor=(3, 0), borderType=cv2.BORDER_REPLICATE)
    between = cv2.filter2D(picture, -1, taps[:, None], anchor=(0, 3), borderType=cv2.BORDER_REPLICATE)
    pixels[1::2, ::2] = between
    pixels[1::2, 1::2] = cv2.filter2D(between, -1, taps[None], anchor=(3, 0), borderType=cv2.BORDER_REPLICATE)
    return pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """How a layer moves during the exposure, seen from its place at the middle of it.

    shake: a path in six degrees of freedom over a frame whose part the sample is; None: points_px, or rest.
    points_px: positions of a path in the plane, equally long apart. way_px: length of the way of the sample's middle.
    """

    side: int
    shake: Shake | None = None
    duration_s: float = 0.0
    frame: tuple[int, int, int, int] = (0, 0, 0, 0)  # height and width of the frame, top and left of the sample
    points_px: np.ndarray | None = None
    way_px: float = 0.0

    def inverses(self, times: np.ndarray, row_times: np.ndarray) -> np.ndarray:
        """Which point of the resting layer each pixel of the sample sees: homographies in sample px.

        Shape: times [N] in exposures from the middle, row_times [R] what a row's own middle adds (R is 1 or the side)
        -> [R, N, 3, 3] float32.
        """
        if self.shake is not None:
            height, width, top, left = self.frame
            instants = (times[None, :] + row_times[:, None]) * self.duration_s
            path = homographies(self.shake.poses(instants), height, width)
            rest = homographies(self.shake.poses(row_times * self.duration_s), height, width)
            to_sample, to_frame = translation(-left, -top), translation(left, top)
            return (to_sample @ rest[:, None] @ np.linalg.inv(path) @ to_frame).astype(np.float32)
        inverses = np.zeros((len(row_times), len(times), 3, 3), np.float32)
        inverses[...] = np.eye(3, dtype=np.float32)
        if self.points_px is not None:
            places = (times + 0.5) * (len(self.points_px) - 1)
            for axis in (0, 1):
                inverses[..., axis, 2] = -np.interp(places, np.arange(len(self.points_px)), self.points_px[:, axis])
        return inverses

    def path(self) -> PathNumbers:
        """Of the positions that the sample's middle sees: variance of x, of y, covariance (px^2); mean of x, of y, less
        the position at the middle of the exposure (px)."""
        middle = (self.side - 1) / 2
        seen = self.inverses(COARSE, np.zeros(1))[0] @ np.array([middle, middle, 1.0])
        x, y = (seen[:, :2] / seen[:, 2:]).T - middle
        together = float(((x - x.mean()) * (y - y.mean())).mean())
        return float(x.var()), float(y.var()), together, float(x.mean()), float(y.mean())


class _Motions:
    """Motions of one exposure: its duration, the frame that the sample is a part of, the rows' own times."""

    def __init__(self, settings: LiveSettings, rng: np.random.Generator, seed: int, number: int) -> None:
        self.settings, self.rng, self.names = settings, rng, (seed, "live", number)
        side = settings.side_px
        self.duration_s = log_uniform(rng, settings.duration_s)
        height = int(log_uniform(rng, FRAME_PX))
        width = height * 16 // 9
        self.frame = (height, width, int(rng.integers(max(1, height - side))), int(rng.integers(max(1, width - side))))
        self.row_times = np.zeros(1)
        if rng.random() < settings.rolling:
            readout = float(rng.uniform(*READOUT)) * side / height
            self.row_times = (np.arange(side) / side - 0.5) * readout

    def rest(self) -> Motion:
        return Motion(side=self.settings.side_px)

    def draw(self, extent_px: float, layer: int) -> Motion:
        """A motion whose sample's middle has positions `extent_px` apart."""
        side = self.settings.side_px
        if self.rng.random() < self.settings.paths:
            points = _walk_points(self.rng)
            points *= extent_px / max(_spread(points), 1e-6)
            return Motion(side=side, points_px=points, way_px=_length(points))
        shake = draw_shake(*self.names, layer)
        height, width, top, left = self.frame
        middle = np.array([left + (side - 1) / 2, top + (side - 1) / 2, 1.0])
        for _ in range(2):  # a shift grows in proportion, a turn nearly
            path = homographies(shake.poses(COARSE * self.duration_s), height, width) @ middle
            points = path[:, :2] / path[:, 2:]
            shake = shake.scaled(min(extent_px / max(_spread(points), 1e-6), 1e4))
        way_px = _length(points) * extent_px / max(_spread(points), 1e-6)
        return Motion(side=side, shake=shake, duration_s=self.duration_s, frame=self.frame, way_px=way_px)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """A layer. Shape: pixels [h, w, 4] float32, colour times matte and matte; corner: the texture px of sample px 0."""

    pixels: np.ndarray
    corner: tuple[float, float]
    motion: Motion


@dataclass(frozen=True, kw_only=True, eq=False)
class Exposure:
    """An exposure before it is developed.

    Shape: blur, sharp [S, S, 3] float32, in the domain that was averaged; light above 1 is not clipped yet.
    gamma: 1 for encoded values, 0 for light of an sRGB camera, else light of a camera with that power. path:
    what `Motion.path` gives of the layer behind; zeros where it is not known.
    """

    blur: np.ndarray
    sharp: np.ndarray
    gamma: float
    path: PathNumbers


def draw(photographs: Photographs, settings: LiveSettings, seed: int, number: int, *, device: str = "cpu") -> Exposure:
    """Exposure number `number` of a seed: the same from any worker at any time.

    device: where the virtual frames are made and averaged, "cpu" or a device of torch's; chance is the same everywhere,
    values agree within rounding.
    """
    rng = stream(seed, "live", number)
    side = settings.side_px
    gamma = draw_gamma(settings, rng)
    spans = (settings.extent_px[0], settings.most_px(number))
    extent_px = log_uniform(rng, spans)
    frames = int(rng.choice(settings.frames)) if gamma == 1 and rng.random() < settings.few_frames else 0
    gain = log_uniform(rng, HIGHLIGHT_GAIN) if gamma != 1 and rng.random() < settings.highlights else 0.0
    layers = 0 if rng.random() >= settings.foreground else 1 + int(rng.random() < settings.second)
    resting = layers > 0 and rng.random() < settings.resting
    motions = _Motions(settings, rng, seed, number)
    moving = motions.rest() if resting else motions.draw(extent_px, 0)
    depth: np.ndarray = np.zeros((1, 1), np.float32)
    if rng.random() < settings.parallax:
        field = rng.standard_normal((3, 3)).astype(np.float32) * np.float32(rng.uniform(*DEPTH))
        depth = cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
    develop = (_table(gamma), gain)
    sheets = [_behind(photographs.draw(rng), moving, int(np.ceil(extent_px)) + 4, develop, settings, rng)]
    for layer in range(layers):
        followed = not resting and rng.random() < FOLLOWED  # the camera follows it
        motion = motions.rest() if followed else motions.draw(log_uniform(rng, spans), 1 + layer)
        sheets.append(_in_front(photographs.draw(rng), motion, side, develop, rng))
    blur = _blurred(sheets, depth, frames, motions.row_times, device)
    return Exposure(blur=blur, sharp=_middle(sheets, side), gamma=gamma, path=moving.path())


def draw_gamma(settings: LiveSettings, rng: np.random.Generator) -> float:
    """Which values are averaged: see Exposure.gamma."""
    if rng.random() < settings.encoded:
        return 1.0
    return 0.0 if rng.random() < SRGB_SHARE else float(rng.uniform(*GAMMA))


def _blurred(
    sheets: Sequence[Sheet], depth: np.ndarray, frames: int, row_times: np.ndarray, device: str = "cpu"
) -> np.ndarray:
    """The mean of the frames that the layers make on their ways: a trapezoid, or `frames` of them alike.

    Shape: [side, side, 3] float32.
    """
    side = sheets[0].motion.side
    way_px = max(sheet.motion.way_px for sheet in sheets)
    count = frames or int(np.clip(np.ceil(way_px / STEP_PX) + 1, LEAST_POSITIONS, MOST_POSITIONS))
    times = np.linspace(-0.5, 0.5, count)
    weights = np.full(count, 1 / count if frames else 1 / (count - 1), np.float32)
    if not frames:
        weights[[0, -1]] /= 2
    inverses = np.stack([sheet.motion.inverses(times, row_times).reshape(-1, count, 9) for sheet in sheets])
    middle = inverses[0, len(row_times) // 2].reshape(count, 3, 3) @ np.array([(side - 1) / 2, (side - 1) / 2, 1])
    parallax_px = (middle[:, :2] / middle[:, 2:] - (side - 1) / 2).astype(np.float32)
    if device != "cpu":
        from synth.live_exposures_in_torch import integrated

        placed = [(sheet.pixels, sheet.corner) for sheet in sheets]
        return integrated(placed, inverses, parallax_px, depth, weights, side, device)
    nothing = np.zeros((2, 2, 4), np.float32)
    pixels = [sheet.pixels for sheet in sheets] + [nothing] * (3 - len(sheets))
    corners = np.array([sheet.corner for sheet in sheets], np.float32)
    total = np.zeros((side, side, 3), np.float32)
    _integrate(pixels[0], pixels[1], pixels[2], corners, inverses, parallax_px, depth, weights, total)
    return total


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy", boundscheck=False)
def _integrate(back, front, second, corners, inverses, way, depth, weights, total):  # pragma: no cover (compiled)
    side, count, layers = total.shape[0], inverses.shape[2], inverses.shape[0]
    rows = inverses.shape[1]
    frame = np.zeros((side, 4), np.float32)  # a row of one virtual frame
    deep = depth.shape[0] > 1
    for y in range(side):
        row = y if rows > 1 else 0
        for n in range(count):
            _lay_back(back, corners[0], inverses[0, row, n], way[n], depth, deep, y, frame)
            if layers > 1:
                _lay_front(front, corners[1], inverses[1, row, n], y, frame)
            if layers > 2:
                _lay_front(second, corners[2], inverses[2, row, n], y, frame)
            weight = weights[n]
            for x in range(side):
                total[y, x, 0] += weight * frame[x, 0]
                total[y, x, 1] += weight * frame[x, 1]
                total[y, x, 2] += weight * frame[x, 2]


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy", boundscheck=False, inline="always")
def _lay_back(pixels, corner, m, way, depth, deep, y, frame):  # pragma: no cover (compiled)
    one, two, none = np.float32(1.0), np.float32(2.0), np.float32(0.0)
    right, bottom = np.float32(pixels.shape[1] - 1.001), np.float32(pixels.shape[0] - 1.001)
    at = np.float32(y)
    u0, v0, w0 = m[1] * at + m[2], m[4] * at + m[5], m[7] * at + m[8]
    du, dv, dw = m[0], m[3], m[6]
    way_u, way_v, corner_u, corner_v = way[0], way[1], corner[0], corner[1]
    for x in range(frame.shape[0]):
        step = np.float32(x)
        over = one / (dw * step + w0)
        u, v = (du * step + u0) * over, (dv * step + v0) * over
        if deep:
            u += depth[y, x] * way_u
            v += depth[y, x] * way_v
        u = min(max(u * two + corner_u, none), right)
        v = min(max(v * two + corner_v, none), bottom)
        i, j = np.uint32(u), np.uint32(v)
        fu, fv = u - np.float32(i), v - np.float32(j)
        a, c, d, e = (one - fu) * (one - fv), fu * (one - fv), (one - fu) * fv, fu * fv
        i1, j1 = i + np.uint32(1), j + np.uint32(1)
        for k in range(4):
            frame[x, k] = a * pixels[j, i, k] + c * pixels[j, i1, k] + d * pixels[j1, i, k] + e * pixels[j1, i1, k]


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy", boundscheck=False, inline="always")
def _lay_front(pixels, corner, m, y, frame):  # pragma: no cover (compiled)
    one, two = np.float32(1.0), np.float32(2.0)
    right, bottom = np.float32(pixels.shape[1] - 1.001), np.float32(pixels.shape[0] - 1.001)
    at = np.float32(y)
    u0, v0, w0 = m[1] * at + m[2], m[4] * at + m[5], m[7] * at + m[8]
    du, dv, dw = m[0], m[3], m[6]
    corner_u, corner_v = corner[0], corner[1]
    for x in range(frame.shape[0]):
        step = np.float32(x)
        over = one / (dw * step + w0)
        u, v = (du * step + u0) * over * two + corner_u, (dv * step + v0) * over * two + corner_v
        if u < 0 or v < 0 or u > right or v > bottom:
            continue
        i, j = np.uint32(u), np.uint32(v)
        fu, fv = u - np.float32(i), v - np.float32(j)
        a, c, d, e = (one - fu) * (one - fv), fu * (one - fv), (one - fu) * fv, fu * fv
        i1, j1 = i + np.uint32(1), j + np.uint32(1)
        through = one - (a * pixels[j, i, 3] + c * pixels[j, i1, 3] + d * pixels[j1, i, 3] + e * pixels[j1, i1, 3])
        for k in range(3):
            light = a * pixels[j, i, k] + c * pixels[j, i1, k] + d * pixels[j1, i, k] + e * pixels[j1, i1, k]
            frame[x, k] = frame[x, k] * through + light


def _middle(sheets: Sequence[Sheet], side: int) -> np.ndarray:
    """The frame at the middle of the exposure: every layer at rest. Shape: [side, side, 3] float32."""
    frame = np.zeros((side, side, 3), np.float32)
    for sheet in sheets:
        left, top = (int(part) for part in sheet.corner)
        height, width = sheet.pixels.shape[:2]
        # sample px whose texture px lies in the sheet
        x0, y0 = max(0, -(left // 2)), max(0, -(top // 2))
        x1, y1 = min(side, (width - 1 - left) // 2 + 1), min(side, (height - 1 - top) // 2 + 1)
        if x0 >= x1 or y0 >= y1:
            continue
        part = sheet.pixels[top + 2 * y0 : top + 2 * y1 : 2, left + 2 * x0 : left + 2 * x1 : 2]
        frame[y0:y1, x0:x1] = frame[y0:y1, x0:x1] * (1 - part[..., 3:]) + part[..., :3]
    return frame


def _behind(
    source: Texture,
    motion: Motion,
    margin: int,
    develop: tuple[np.ndarray, float],
    settings: LiveSettings,
    rng: np.random.Generator,
) -> Sheet:
    """The layer behind: a part of a photograph with room for the motion, the one of a few that has most contrast."""
    side = settings.side_px
    height, width = source.size
    best, top, left = -1.0, 0, 0
    for _ in range(settings.candidates):
        y, x = (int(rng.integers(max(1, length - side + 1))) for length in (height, width))
        part = source.contrast[y // 8 : (y + side) // 8, x // 8 : (x + side) // 8]
        contrast = float(part.mean()) if part.size else 0.0
        if contrast > best:
            best, top, left = contrast, y, x
    y0, x0 = max(0, top - margin), max(0, left - margin)
    part = source.pixels[2 * y0 : 2 * (top + side + margin), 2 * x0 : 2 * (left + side + margin)]
    if rng.random() < settings.soft:
        part = cv2.GaussianBlur(part, (0, 0), OVERSAMPLING * float(rng.uniform(*SOFT_PX)))
    return Sheet(pixels=_light(part, *develop), corner=(2.0 * (left - x0), 2.0 * (top - y0)), motion=motion)


def _in_front(
    source: Texture, motion: Motion, side: int, develop: tuple[np.ndarray, float], rng: np.random.Generator
) -> Sheet:
    """A piece of a photograph with a soft edge, somewhere in the sample."""
    sizes = [int(min(length, max(12, side * log_uniform(rng, CUT_OUT)))) for length in source.size]
    top, left = (int(rng.integers(length - size + 1)) for length, size in zip(source.size, sizes, strict=True))
    part = source.pixels[2 * top : 2 * (top + sizes[0]), 2 * left : 2 * (left + sizes[1])]
    pixels = _light(part, *develop)
    pixels *= _matte(rng, part.shape[0], part.shape[1])[..., None]
    at_y, at_x = (int(rng.integers(-(size // 2), side - size // 2 + 1)) for size in sizes)
    return Sheet(pixels=pixels, corner=(-2.0 * at_x, -2.0 * at_y), motion=motion)


def _matte(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A blob with a soft edge. Shape: [height, width] float32. Range: [0, 1], 0 at the border."""
    cells = int(rng.integers(3, 9))
    noise = cv2.resize(
        rng.standard_normal((cells, cells)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    power = float(rng.choice([2.0, 4.0]))
    shape = 0.75 - np.abs(x) ** power - np.abs(y) ** power + np.float32(rng.uniform(0.05, 0.35)) * noise
    edge = 2 * min(1.5, 0.05 * min(height, width)) / max(min(height, width), 1)  # a few texture px
    room = np.minimum(1 - np.abs(x), 1 - np.abs(y)) * 0.5 * min(height, width)  # texture px to the border
    return np.clip(shape / (4 * edge) + 0.5, 0, 1) * np.clip(room / 2 - 0.5, 0, 1)


def _light(part: np.ndarray, table: np.ndarray, gain: float) -> np.ndarray:
    """Values to average, with a matte of 1. Shape: [h, w, 3] uint8 -> [h, w, 4] float32."""
    pixels = np.ones((*part.shape[:2], 4), np.float32)
    light = cv2.LUT(np.ascontiguousarray(part), table)
    if gain:
        # What the photograph's camera clipped was brighter: the top eighth of the range is stretched.
        light = light * (1 + gain * np.clip((light - 0.8) / 0.2, 0, 1) ** 2)
    pixels[..., :3] = light
    return pixels


def _table(gamma: float) -> np.ndarray:
    """Values to average of the 256 encoded ones."""
    if gamma == 0:
        return camera_response.response("srgb").table_lin
    return (np.arange(256) / 255).astype(np.float32) ** np.float32(gamma)


def developed(exposure: Exposure, settings: LiveSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The pictures that a camera stores: noise, clipping, response, JPEG, 8 bit.

    Shape: two uint8 [S, S, 3] RGB. The sharp one has neither noise nor JPEG.
    """
    blur = exposure.blur
    if rng.random() < settings.noise:
        sigma = log_uniform(rng, settings.noise_sigma)
        shot = float(rng.uniform(0, 1))
        spread = sigma * np.sqrt((1 - shot) + shot * np.clip(blur, 0, 1))
        if exposure.gamma != 1:
            spread *= 0.5  # light is smaller than its encoded value
        blur = blur + spread * rng.standard_normal(blur.shape, dtype=np.float32)
    pair = []
    for light in (blur, exposure.sharp):
        pair.append(camera_response.to_8bit(_encoded(np.clip(light, 0, 1), exposure.gamma)))
    if rng.random() < settings.jpeg:
        low, high = settings.jpeg_quality
        quality = int(rng.integers(low, high + 1))
        _, data = cv2.imencode(".jpg", pair[0][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        pair[0] = decoded[..., ::-1]
    return pair[0], pair[1]


def _encoded(light: np.ndarray, gamma: float) -> np.ndarray:
    if gamma == 1:
        return light
    if gamma == 0:
        low = light * np.float32(12.92)
        return np.where(light <= 0.0031308, low, np.float32(1.055) * cv2.pow(light, 1 / 2.4) - np.float32(0.055))
    return cv2.pow(light, 1 / gamma)


def _walk_points(rng: np.random.Generator) -> np.ndarray:
    """Positions of the published random path that an exposure sees, their mean at the origin. Shape: [65, 2] px."""
    anxiety = float(rng.choice(ANXIETIES))
    gaussian, inertia, impulse = (float(rng.uniform(*span)) for span in (GAUSSIAN, INERTIA, IMPULSE))
    seen = float(rng.choice(EXPOSURES[1:]))
    steps = 2000
    points = _walk(
        anxiety * gaussian * rng.standard_normal((steps - 1, 2)),
        rng.random(steps - 1) < impulse * anxiety,
        rng.uniform(-IMPULSE_SPREAD_RAD, IMPULSE_SPREAD_RAD, steps - 1),
        rng.standard_normal((steps - 1, 2)),
        anxiety * inertia,
        PATH_PX / (steps - 1),
        rng.standard_normal(2),
    )[: int(seen * steps)]
    chosen = points[np.rint(np.linspace(0, len(points) - 1, 65)).astype(int)]
    return chosen - points.mean(axis=0)


@njit(nogil=True, cache=True)
def _walk(noise, impulses, turns_rad, sideways, pull, step_px, direction):  # pragma: no cover (compiled)
    points = np.zeros((len(noise) + 1, 2))
    direction = direction / max(np.sqrt(direction[0] ** 2 + direction[1] ** 2), 1e-12)
    for index in range(len(noise)):
        change = noise[index] - pull * points[index]
        if impulses[index]:
            along = sideways[index, 0] * direction[0] + sideways[index, 1] * direction[1]
            across = sideways[index] - along * direction
            across = across / max(np.sqrt(across[0] ** 2 + across[1] ** 2), 1e-12)
            change = change - 2 * (np.cos(turns_rad[index]) * direction + np.sin(turns_rad[index]) * across)
        direction = direction + change
        direction = direction / max(np.sqrt(direction[0] ** 2 + direction[1] ** 2), 1e-12)
        points[index + 1] = points[index] + step_px * direction
    return points


def _spread(points: np.ndarray) -> float:
    """Greatest distance between two of the points. Shape: [N, 2]."""
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def _length(points: np.ndarray) -> float:
    """Length of the way over the points. Shape: [N, 2]."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def log_uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """A number from a range, evenly in its logarithm."""
    low, high = np.log(span)
    return float(np.exp(rng.uniform(low, high)))
