"""Camera models: what a sensor and its image pipeline do to the light of an exposure.

A model is applied to the blurred image in linear light, before it is encoded, in the order of a camera: highlights,
noise (on light, or on a Bayer mosaic followed by the ISP), response, JPEG or H.264 (as the key frame of a video).
Averaging many frames removes their noise, and an 8-bit frame cannot say how bright its highlights were: both are put
back here. What each is worth: Rim et al., Realistic Blur Synthesis for Learning Image Deblurring, ECCV 2022.

The image signal processor and its inverse: linear light, float32, full scale 1.0. Sources: Brooks et al., Unprocessing
Images for Learned Raw Denoising, CVPR 2019 (the order of the steps and the ranges of the gains); Malvar, He and Cutler,
High-quality Linear Interpolation for Demosaicing of Bayer-patterned Color Images, ICASSP 2004 (the filters).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from core.camera_response import CameraResponse, to_8bit
from core.command_line import unknown
from core.image_files import decode_jpeg, encode_jpeg

BAYER_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")  # colours of the first two px of the first two rows
RED_GAINS = (1.9, 2.4)
BLUE_GAINS = (1.5, 1.9)

# XYZ (D65) to camera, times 10000: facts about cameras that Adobe's DNG converter publishes in its profiles.
CAMERA_MATRICES: dict[str, tuple[int, ...]] = {
    "Sony ILCE-7": (5271, -712, -347, -6153, 13653, 2763, -1601, 2366, 7242),
    "Sony ILCE-7R": (4913, -541, -202, -6130, 13513, 2906, -1564, 2151, 7183),
    "Sony ILCE-7RM2": (6629, -1900, -483, -4618, 12349, 2550, -622, 1381, 6514),
    "Sony ILCE-7S": (5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
}
# Linear sRGB to XYZ (IEC 61966-2-1).
_SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

# Malvar's filters, times 8. Rows and columns from -2 to 2; the missing colour at a pixel of another one.
_GREEN = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_ALONG_ROW = ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0))
_DIAGONAL = ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0))


def camera_matrix(name: str) -> np.ndarray:
    """Linear sRGB to a camera's own colours; white stays white. Shape: [3, 3] float32, rows sum to 1.

    Errors: ValueError for a camera that is not in CAMERA_MATRICES.
    """
    if name not in CAMERA_MATRICES:
        raise ValueError(f"there is no colour matrix of {name!r}; there are {', '.join(CAMERA_MATRICES)}")
    matrix = np.array(CAMERA_MATRICES[name], dtype=np.float64).reshape(3, 3) @ _SRGB_TO_XYZ
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def through_matrix(image_lin: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Every pixel's colour multiplied by a matrix. Shape: [H, W, 3] and [3, 3] -> [H, W, 3] float32, new."""
    return cv2.transform(np.ascontiguousarray(image_lin, dtype=np.float32), matrix)


def gain_map(height: int, width: int, bayer: str, red_gain: float, blue_gain: float) -> np.ndarray:
    """White-balance gain of every pixel of a mosaic. Shape: [H, W] float32."""
    gains = {"R": red_gain, "G": 1.0, "B": blue_gain}
    tile = np.array([gains[colour] for colour in bayer], dtype=np.float32).reshape(2, 2)
    return np.tile(tile, ((height + 1) // 2, (width + 1) // 2))[:height, :width]


def mosaic(image_lin: np.ndarray, bayer: str) -> np.ndarray:
    """The one colour of each pixel that a Bayer sensor sees. Shape: [H, W, 3] -> [H, W], a new array."""
    raw = np.empty(image_lin.shape[:2], dtype=np.float32)
    for index, colour in enumerate(bayer):
        place = np.s_[index // 2 :: 2, index % 2 :: 2]
        raw[place] = image_lin[..., "RGB".index(colour)][place]
    return raw


def demosaic(raw: np.ndarray, bayer: str) -> np.ndarray:
    """Colours from a mosaic by Malvar's linear filters; the border is mirrored, which keeps the pattern.

    Shape: [H, W] float32 -> [H, W, 3] float32. Range: as given; edges may overshoot a little.
    Errors: ValueError for a mosaic smaller than 3 px on a side.
    """
    height, width = raw.shape
    if min(height, width) < 3:
        raise ValueError(f"a mosaic is at least 3 px high and wide, got {width}x{height}")
    green, along_row, diagonal = (_filtered(raw, kernel) for kernel in (_GREEN, _ALONG_ROW, _DIAGONAL))
    along_column = _filtered(raw, tuple(zip(*_ALONG_ROW, strict=True)))
    image = np.empty((height, width, 3), dtype=np.float32)
    for index, colour in enumerate(bayer):
        place = np.s_[index // 2 :: 2, index % 2 :: 2]
        if colour == "G":
            neighbour = "RGB".index(bayer[index ^ 1])  # the other colour of this row
            image[..., neighbour][place] = along_row[place]
            image[..., 2 - neighbour][place] = along_column[place]
            image[..., 1][place] = raw[place]
        else:
            own = "RGB".index(colour)
            image[..., own][place] = raw[place]
            image[..., 1][place] = green[place]
            image[..., 2 - own][place] = diagonal[place]
    return image


def _filtered(raw: np.ndarray, kernel: tuple[tuple[float, ...], ...]) -> np.ndarray:
    return cv2.filter2D(raw, cv2.CV_32F, np.array(kernel, dtype=np.float32) / 8, borderType=cv2.BORDER_REFLECT_101)


def through_h264(rgb: np.ndarray, crf: int) -> np.ndarray:
    """Encode with x264 at a constant rate factor and decode; one thread, so the same picture every time.

    Shape: [H, W, 3] uint8 RGB, kept; odd sides are padded by their last row or column for the codec.
    """
    import av

    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    stored = io.BytesIO()
    with av.open(stored, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf), "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        container.mux(stream.encode())
    stored.seek(0)
    with av.open(stored, "r") as container:
        frame = next(container.decode(video=0))
        return np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:height, :width])


@dataclass(frozen=True, kw_only=True)
class NoiseLevel:
    """Noise of linear light x: variance shot * x + read**2. Units: relative to full scale 1.0."""

    shot: float
    read: float


@dataclass(frozen=True, kw_only=True)
class CameraModel:
    """What a camera does; None or False leaves a step out."""

    name: str
    source: str
    highlights: tuple[float, float] | None = None  # range of the scale by which the mask of clipped highlights is added
    noise: Callable[[np.random.Generator], NoiseLevel] | None = None  # draws a level
    raw: bool = False  # the light goes through a Bayer mosaic, where the noise is added, and the ISP
    matrices: tuple[str, ...] = ()  # cameras to draw from
    keep_saturated: bool = False  # pixels at full scale stay there, without noise
    jpeg: tuple[int, int] | None = None  # range of the quality, both ends included
    h264: tuple[int, int] | None = None  # range of the rate factor, both ends included
    sharp_too: bool = False  # the sharp image goes through the same mosaic and ISP without noise
    unverified: tuple[str, ...] = ()  # constants for which no source was read, or that stand in for a published one

    @property
    def sharp_transform(self) -> str:
        """What the manifest says about the sharp image."""
        return f"{self.name}: the mosaic and ISP of the blurred image, without noise" if self.sharp_too else "none"


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """What was drawn for one pair; None where the model has no such step."""

    highlight_scale: float | None = None
    shot: float | None = None
    read: float | None = None
    bayer: str | None = None
    red_gain: float | None = None
    blue_gain: float | None = None
    matrix: str | None = None
    jpeg_quality: int | None = None
    h264_crf: int | None = None

    def drawn(self) -> dict[str, float | int | str]:
        """The values that there are, for the manifest."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class ClippedHighlights(CameraResponse):
    """Not a curve but a mask: 1 where a captured value is at full scale, 0 elsewhere.

    Summed over a gap in the place of light, it says for which share of the time a pixel saw a clipped highlight; the
    virtual frames between move it along the same paths.
    """

    def to_linear(self, encoded: np.ndarray) -> np.ndarray:
        """Shape: any; same out. Range: uint8 or float in [0, 1] -> 0 or 1, float32."""
        full_scale = 255 if encoded.dtype == np.uint8 else 254.5 / 255  # what rounds to full scale
        return (encoded >= full_scale).astype(np.float32)

    def to_encoded(self, linear: np.ndarray) -> np.ndarray:
        """The mask of a virtual frame, made whole again. Shape: any, kept. Range: any -> 0 or 1, float32."""
        return (linear >= 0.5).astype(np.float32)


HIGHLIGHTS = ClippedHighlights(
    name="highlights",
    source="RSBlur: the mean over the frames of [pixel at full scale], per channel (Rim et al., ECCV 2022)",
    decode=lambda values: (values >= 1.0).astype(np.float64),
    encode=lambda values: values,
)


def brooks_noise(rng: np.random.Generator) -> NoiseLevel:
    """Shot noise log-uniform from 0.0001 to 0.012; the read noise's variance follows it, with a scatter of its own.

    Source: Brooks et al., Unprocessing Images for Learned Raw Denoising, CVPR 2019: log variance of the read noise is
    2.18 log(shot) + 1.20 with a standard deviation of 0.26.
    """
    log_shot = rng.uniform(np.log(0.0001), np.log(0.012))
    log_read = 2.18 * log_shot + 1.20 + rng.normal(0.0, 0.26)
    return NoiseLevel(shot=float(np.exp(log_shot)), read=float(np.exp(log_read / 2)))


def rsblur_noise(rng: np.random.Generator) -> NoiseLevel:
    """The levels estimated for RSBlur, each times 0.5 to 1.5: shot 1e-4, read 9.1504e-4 (a standard deviation).

    Source: Rim et al., ECCV 2022, and the authors' code.
    """
    return NoiseLevel(shot=1e-4 * float(rng.uniform(0.5, 1.5)), read=9.1504e-4 * float(rng.uniform(0.5, 1.5)))


CAMERAS: dict[str, CameraModel] = {
    "none": CameraModel(name="none", source="the exposure as it is"),
    "shot-read": CameraModel(
        name="shot-read",
        source="Poissonian-Gaussian noise in linear light: Foi et al., TIP 2008; levels of Brooks et al., CVPR 2019",
        noise=brooks_noise,
    ),
    "saturated": CameraModel(
        name="saturated",
        source="saturation synthesis of Rim et al., ECCV 2022: blur + mask * U(0.25, 1.75), clipped",
        highlights=(0.25, 1.75),
    ),
    "raw-isp": CameraModel(
        name="raw-isp",
        source="Brooks et al., CVPR 2019: inverse colour matrix and white balance, Bayer mosaic, noise, demosaicing",
        noise=brooks_noise,
        raw=True,
        matrices=tuple(CAMERA_MATRICES),
        sharp_too=True,
        unverified=("matrices: four cameras of our choice, not those of the paper",),
    ),
    "rsblur": CameraModel(
        name="rsblur",
        source="Rim et al., ECCV 2022: saturation, inverse ISP, Poisson and Gaussian noise on RAW, ISP",
        highlights=(0.25, 1.75),
        noise=rsblur_noise,
        raw=True,
        matrices=("Sony ILCE-7RM2",),  # unverified
        keep_saturated=True,
        unverified=(
            "matrices: the Sony ILCE-7RM2's stands in for the measured one of the authors' ILCE-7RM3",
            "response: the authors' measured curve is not applied; blur and sharp keep --response",
        ),
    ),
    "jpeg": CameraModel(
        name="jpeg",
        source="our own choice: a quality of 60 to 95, 4:2:0, as consumer cameras write",
        jpeg=(60, 95),
        unverified=("jpeg: the range of the quality",),
    ),
    "h264": CameraModel(
        name="h264",
        source="our own choice: the key frame of an x264 video at a constant rate factor of 18 to 32, 4:2:0",
        h264=(18, 32),
        unverified=("h264: the range of the rate factor",),
    ),
}


def draw_settings(model: CameraModel, rng: np.random.Generator) -> CameraSettings:
    """Everything about one shot that is left to chance, but the noise itself."""
    level = model.noise(rng) if model.noise is not None else None
    return CameraSettings(
        highlight_scale=float(rng.uniform(*model.highlights)) if model.highlights else None,
        shot=level.shot if level else None,
        read=level.read if level else None,
        bayer=str(rng.choice(BAYER_PATTERNS)) if model.raw else None,
        red_gain=float(rng.uniform(*RED_GAINS)) if model.raw else None,
        blue_gain=float(rng.uniform(*BLUE_GAINS)) if model.raw else None,
        matrix=str(rng.choice(model.matrices)) if model.raw else None,
        jpeg_quality=int(rng.integers(model.jpeg[0], model.jpeg[1] + 1)) if model.jpeg else None,
        h264_crf=int(rng.integers(model.h264[0], model.h264[1] + 1)) if model.h264 else None,
    )


def photograph(
    model: CameraModel,
    settings: CameraSettings,
    blur_lin: np.ndarray,
    highlights: np.ndarray | None,
    response: CameraResponse,
    rng: np.random.Generator,
) -> np.ndarray:
    """The blurred image as the camera writes it.

    highlights: share of the exposure in which each pixel was clipped; None goes without that step.
    Shape: two [H, W, 3] float32 -> [H, W, 3] float32, new. Range: linear light -> encoded, [0, 1].
    """
    light = blur_lin
    if settings.highlight_scale is not None and highlights is not None:
        light = light + np.clip(highlights, 0.0, 1.0) * np.float32(settings.highlight_scale)
    clean = np.clip(light, 0.0, 1.0)
    light = clean
    if model.raw:
        light = _through_raw(light, settings, rng)
    elif settings.shot is not None and settings.read is not None:
        light = add_noise(light, NoiseLevel(shot=settings.shot, read=settings.read), rng)
    if model.keep_saturated:
        light = np.where(clean >= 1.0, clean, light)
    encoded = response.to_encoded(light)
    if settings.jpeg_quality is not None:
        stored = decode_jpeg(encode_jpeg(to_8bit(encoded), settings.jpeg_quality))
        encoded = stored.astype(np.float32) / np.float32(255)
    if settings.h264_crf is not None:
        encoded = through_h264(to_8bit(encoded), settings.h264_crf).astype(np.float32) / np.float32(255)
    return encoded


def sharp_photograph(
    model: CameraModel, settings: CameraSettings, sharp: np.ndarray, response: CameraResponse
) -> np.ndarray:
    """The sharp image of the pair: the captured frame itself, unless the model takes it through its ISP.

    Shape: [H, W, 3] uint8 -> the same. Range: encoded.
    """
    if not model.sharp_too:
        return sharp
    return to_8bit(response.to_encoded(_through_raw(response.to_linear(sharp), settings, None)))


def add_noise(light: np.ndarray, level: NoiseLevel, rng: np.random.Generator) -> np.ndarray:
    """Shot noise (Poisson: shot * Poisson(light / shot)) and read noise (Gaussian), each pixel by itself.

    Shape: any, kept; float32, new. Range: linear light, from 0; out, values may be below 0 or above 1.
    """
    noisy = light
    if level.shot > 0:
        noisy = (rng.poisson(np.maximum(light, 0.0) / level.shot) * level.shot).astype(np.float32)
    if level.read > 0:
        noisy = noisy + rng.standard_normal(light.shape, dtype=np.float32) * np.float32(level.read)
    return np.array(noisy, dtype=np.float32)


def _through_raw(light: np.ndarray, settings: CameraSettings, rng: np.random.Generator | None) -> np.ndarray:
    """Inverse ISP, noise on the mosaic (none without `rng`), ISP. Shape: [H, W, 3] float32, new."""
    assert settings.bayer and settings.matrix and settings.red_gain and settings.blue_gain
    matrix = camera_matrix(settings.matrix)
    raw = mosaic(through_matrix(light, matrix), settings.bayer)
    height, width = raw.shape
    gains = gain_map(height, width, settings.bayer, settings.red_gain, settings.blue_gain)
    raw /= gains
    if rng is not None and settings.shot is not None and settings.read is not None:
        raw = add_noise(raw, NoiseLevel(shot=settings.shot, read=settings.read), rng)  # black level: may be below 0
    raw *= gains
    back = np.linalg.inv(matrix.astype(np.float64)).astype(np.float32)
    return through_matrix(demosaic(np.minimum(raw, 1.0), settings.bayer), back)


def require_camera(name: str) -> CameraModel:
    """Errors: ValueError that lists what exists."""
    if name not in CAMERAS:
        raise ValueError(unknown("there is no camera", name, CAMERAS))
    return CAMERAS[name]
