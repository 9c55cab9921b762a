"""Motion blur from random camera paths: one point-spread function for the whole picture, or rotations in space.

The path is a Markov process: a particle of constant speed that Gaussian tremor turns, inertia pulls back to where
it started and rare impulses throw around. The exposure sees the first part of it. Its mean position is the origin,
so that a blurred picture stays registered with the sharp one. Everything here works in linear light.

Sources: Boracchi and Foi, Modeling the Performance of Image Restoration from Motion Blur, IEEE TIP 2012 (the
process, exposure as a share of the path, sub-pixel rasterising); Kupyn et al., DeblurGAN, CVPR 2018 (path length,
ranges of the parameters). The values are those of the DeblurGAN authors' program; that the paper prints the same is
unverified. The rotations (focal length, turn, share of roll) are our own choice, there is no published range.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

STEPS = 2000  # positions of a path
PATH_PX = 60.0  # length of the path of a full exposure; the strengths below are meant for paths of this length
# Equally likely: factor of all disturbances. Six values since the program's second revision (blur_image.py).
ANXIETIES = (0.003, 0.005, 0.007, 0.008, 0.009, 0.01)
GAUSSIAN = (0.0, 10.0)  # strength of the tremor
INERTIA = (0.0, 0.7)  # strength of the pull to the start of the path
IMPULSE = (0.0, 0.2)  # times the anxiety: probability a step of turning round
IMPULSE_SPREAD_RAD = 0.5  # a turn by pi, give or take a uniform angle up to this (the program: +-0.5)
EXPOSURES = (0.01, 0.1, 0.5, 1.0)  # shares of the path, equally likely (generate_PSF.py 18)

FOCAL = (0.7, 2.0)  # times the longer side: lenses of 25 to 72 mm on a 36 mm wide sensor (ours)
TURN_RAD = (0.005, 0.05)  # length of the path that the camera's angles take in a full exposure (ours)
ROLL_SHARE = 0.5  # roll against pitch and yaw (ours)
POSE_STEP_PX = 0.5  # poses lie at most this far apart in the picture
MOST_POSES = 512


@dataclass(frozen=True, kw_only=True)
class Tremor:
    """How nervous a hand is, and how strongly tremor, the pull back and impulses disturb its path."""

    anxiety: float
    gaussian: float
    inertia: float
    impulse: float


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryShift:
    """A path of the picture in its own plane.

    Shape: points_px [STEPS, 2] (x right, y down), of which the first share `exposure` is seen; their mean is zero.
    Units: px.
    """

    tremor: Tremor
    exposure: float
    points_px: np.ndarray

    def seen_px(self) -> np.ndarray:
        """Positions during the exposure. Shape: [N, 2], N >= 1."""
        return self.points_px[: _seen(self.exposure)]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryRotation:
    """A path of a camera's three angles.

    Shape: angles_rad [STEPS, 3] (pitch, yaw, roll), of which the first share `exposure` is seen; their mean is zero.
    Units: radians; `focal` in longer sides of the picture.
    """

    tremor: Tremor
    exposure: float
    focal: float
    angles_rad: np.ndarray

    def homographies(self, times: np.ndarray, height: int, width: int) -> np.ndarray:
        """Where the picture lies at times of the exposure. Shape: times [N] in [0, 1] -> [N, 3, 3], pixel coordinates.

        K R K^-1 for a camera that turns about its centre (Hartley and Zisserman, Multiple View Geometry, 8.4).
        """
        seen = self.angles_rad[: _seen(self.exposure)]
        places = np.asarray(times, dtype=np.float64) * (len(seen) - 1)
        angles = [np.interp(places, np.arange(len(seen)), axis) for axis in seen.T]
        focal_px = self.focal * max(height, width)
        intrinsic = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1.0]])
        return intrinsic @ _rotations(*angles) @ np.linalg.inv(intrinsic)


def draw_tremor(rng: np.random.Generator) -> Tremor:
    """Strengths: the anxiety one of ANXIETIES, the others uniform in their ranges."""
    anxiety = float(rng.choice(ANXIETIES))
    gaussian, inertia, impulse = (float(rng.uniform(*span)) for span in (GAUSSIAN, INERTIA, IMPULSE))
    return Tremor(anxiety=anxiety, gaussian=gaussian, inertia=inertia, impulse=impulse)


def draw_shift(rng: np.random.Generator, path_px: float = PATH_PX) -> TrajectoryShift:
    """A random path in the picture's plane, `path_px` long in a full exposure; 0 is a camera at rest.

    Errors: ValueError for a length below zero.
    """
    if not 0 <= path_px < np.inf:
        raise ValueError(f"a path has a length of zero px or more, got {path_px}; give a number such as {PATH_PX:g}")
    tremor = draw_tremor(rng)
    exposure = float(rng.choice(EXPOSURES))
    points_px = walk(rng, tremor, dimensions=2) * (path_px / PATH_PX)
    return TrajectoryShift(tremor=tremor, exposure=exposure, points_px=_centred(points_px, exposure))


def draw_rotation(rng: np.random.Generator, turn_rad: float | None = None) -> TrajectoryRotation:
    """A random path of pitch, yaw and roll, `turn_rad` long in a full exposure (None: drawn from TURN_RAD).

    Errors: ValueError for a length that is not in [0, 0.5] radians.
    """
    if turn_rad is not None and not 0 <= turn_rad <= 0.5:
        raise ValueError(f"a camera turns by 0 to 0.5 radians in an exposure, got {turn_rad}; are these degrees?")
    tremor = draw_tremor(rng)
    exposure = float(rng.choice(EXPOSURES))
    focal = float(rng.uniform(*FOCAL))
    drawn_rad = float(rng.uniform(*TURN_RAD))
    length_rad = drawn_rad if turn_rad is None else turn_rad
    angles_rad = walk(rng, tremor, dimensions=3) * (length_rad / PATH_PX) * (1.0, 1.0, ROLL_SHARE)
    return TrajectoryRotation(tremor=tremor, exposure=exposure, focal=focal, angles_rad=_centred(angles_rad, exposure))


def walk(rng: np.random.Generator, tremor: Tremor, dimensions: int) -> np.ndarray:
    """The random path itself, from the origin, PATH_PX long in equal steps. Shape: [STEPS, dimensions]."""
    step_px = PATH_PX / (STEPS - 1)
    noise = tremor.anxiety * tremor.gaussian * rng.standard_normal((STEPS - 1, dimensions))
    impulses = rng.random(STEPS - 1) < tremor.impulse * tremor.anxiety
    turns_rad = rng.uniform(-IMPULSE_SPREAD_RAD, IMPULSE_SPREAD_RAD, STEPS - 1)
    sideways = rng.standard_normal((STEPS - 1, dimensions))
    pull = tremor.anxiety * tremor.inertia
    direction = _unit(rng.standard_normal(dimensions))
    points = np.zeros((STEPS, dimensions))
    for index in range(STEPS - 1):
        change = noise[index] - pull * points[index]
        if impulses[index]:
            across = _unit(sideways[index] - (sideways[index] @ direction) * direction)
            change -= 2 * (np.cos(turns_rad[index]) * direction + np.sin(turns_rad[index]) * across)
        direction = _unit(direction + change)
        points[index + 1] = points[index] + step_px * direction
    return points


def smallest_size(trajectory: TrajectoryShift) -> int:
    """The smallest odd size, in px, of a point-spread function that holds the whole path."""
    return 2 * int(np.ceil(np.abs(trajectory.seen_px()).max() - 1e-9)) + 1


def psf(trajectory: TrajectoryShift, size: int) -> np.ndarray:
    """The picture of a point that moves along the path, each position shared by its four pixels (bilinear).

    Shape: [size, size] float32, sum 1; the mean position is the central pixel.
    Errors: ValueError for an even size or one that the path leaves.
    """
    least = smallest_size(trajectory)
    if size % 2 != 1 or size < least:
        raise ValueError(f"a point-spread function of this path has an odd size of {least} px or more, got {size}")
    places = trajectory.seen_px() + (size - 1) / 2  # [N, 2]
    corners = np.clip(np.floor(places).astype(int), 0, max(size - 2, 0))
    parts = places - corners
    density = np.zeros((size + 1, size + 1))  # one to spare: at size 1 the far corner has weight zero
    for right in (0, 1):
        for down in (0, 1):
            weights = np.abs(1 - right - parts[:, 0]) * np.abs(1 - down - parts[:, 1])
            np.add.at(density, (corners[:, 1] + down, corners[:, 0] + right), weights)
    density = density[:size, :size]
    return (density / density.sum()).astype(np.float32)


def blur_uniform(image_lin: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Convolution of a picture with a point-spread function; the border is mirrored.

    Shape: [H, W, 3] float32 and [S, S] -> [H, W, 3] float32, new. Range: linear light in [0, 1].
    Errors: ValueError for another shape, an even size, or a function that does not sum to 1.
    """
    _check(image_lin)
    if psf.ndim != 2 or psf.shape[0] % 2 != 1 or psf.shape[1] % 2 != 1:
        raise ValueError(f"a point-spread function has two odd sides, got shape {psf.shape}; pad it with zeros")
    if abs(float(psf.sum()) - 1) > 1e-3:
        raise ValueError(f"a point-spread function sums to 1, got {float(psf.sum()):.4g}; divide it by its sum")
    turned = np.ascontiguousarray(psf[::-1, ::-1], dtype=np.float32)  # filter2D correlates, light convolves
    return np.clip(cv2.filter2D(image_lin, cv2.CV_32F, turned, borderType=cv2.BORDER_REFLECT_101), 0, 1)


def blur_varying(image_lin: np.ndarray, trajectory: TrajectoryRotation) -> np.ndarray:
    """The mean of a picture seen by a turning camera, over poses POSE_STEP_PX apart (see `pose_count`).

    Shape: [H, W, 3] float32 -> [H, W, 3] float32, new. Range: linear light in [0, 1]. The border is mirrored.
    Errors: ValueError for another shape.
    """
    _check(image_lin)
    height, width = image_lin.shape[:2]
    count = pose_count(trajectory, height, width)
    total = np.zeros_like(image_lin)
    for homography in trajectory.homographies((np.arange(count) + 0.5) / count, height, width):
        total += cv2.warpPerspective(
            image_lin, homography, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
    return np.clip(total / count, 0, 1)


def pose_count(trajectory: TrajectoryRotation, height: int, width: int) -> int:
    """How many poses a picture of this size needs, from the way its corners and centre travel. At most MOST_POSES."""
    columns, rows = np.array([0, width - 1, 0, width - 1, (width - 1) / 2]), [0, 0, height - 1, height - 1]
    points = np.stack([columns, np.array([*rows, (height - 1) / 2]), np.ones(5)])  # [3, 5]
    moved = trajectory.homographies(np.linspace(0, 1, 256), height, width) @ points  # [256, 3, 5]
    places = moved[:, :2] / moved[:, 2:]
    way_px = np.linalg.norm(np.diff(places, axis=0), axis=1).sum(axis=0).max()
    return int(np.clip(np.ceil(way_px / POSE_STEP_PX), 1, MOST_POSES))


def uniform_motion(image_lin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture blurred by one random path for all of it. Shape and range: see `blur_uniform`."""
    trajectory = draw_shift(rng)
    return blur_uniform(image_lin, psf(trajectory, smallest_size(trajectory)))


def varying_motion(image_lin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture blurred by a random turn of the camera. Shape and range: see `blur_varying`."""
    return blur_varying(image_lin, draw_rotation(rng))


def _seen(exposure: float) -> int:
    return max(1, round(exposure * STEPS))


def _centred(path: np.ndarray, exposure: float) -> np.ndarray:
    return path - path[: _seen(exposure)].mean(axis=0)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.sqrt(vector @ vector)), 1e-12)


def _rotations(pitch: np.ndarray, yaw: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Roll after yaw after pitch, about the axes x (right), y (down), z (ahead). Shape: three [N] -> [N, 3, 3]."""
    turned = np.broadcast_to(np.eye(3), (len(pitch), 3, 3))
    for angle, (first, second) in ((pitch, (1, 2)), (yaw, (2, 0)), (roll, (0, 1))):
        turn = np.zeros((len(angle), 3, 3)) + np.eye(3)
        turn[:, first, first] = turn[:, second, second] = np.cos(angle)
        turn[:, second, first] = np.sin(angle)
        turn[:, first, second] = -np.sin(angle)
        turned = turn @ turned
    return turned


def _check(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.float32 or not image.size:
        raise ValueError(
            f"motion blur takes a float32 picture [H, W, 3] in linear light, got {image.dtype} {image.shape}; "
            "convert it with a camera response's to_linear"
        )
