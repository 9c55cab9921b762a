"""Camera response curves: from the encoded values in a file to linear light and back.

Light adds up linearly, encoded values do not: averaging encoded frames is the largest single error of blur synthesis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from core.command_line import did_you_mean
from core.files import require_file
from core.high_dynamic_range import hlg_from_scene, hlg_to_scene, pq_from_display, pq_to_display

Curve = Callable[[np.ndarray], np.ndarray]

# BT.709 with the digits that make its two pieces meet (ITU-R BT.2020, table 4); 1.099 and 0.018 are these, rounded.
_BT709_ALPHA = 1.09929682680944
_BT709_BETA = 0.018053968510807


@dataclass(frozen=True, kw_only=True)
class CameraResponse:
    """A monotonic curve between encoded values and linear light, both in [0, 1]; 0 -> 0 and 1 -> 1 are kept.

    decode and encode are its two directions on float arrays; source says where it comes from.
    """

    name: str
    source: str
    decode: Curve
    encode: Curve
    digest: str = ""  # sha256 of a measured curve's file
    table_lin: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = self.decode(np.arange(256, dtype=np.float64) / 255.0).astype(np.float32)
        table.flags.writeable = False
        object.__setattr__(self, "table_lin", table)

    def to_linear(self, encoded: np.ndarray) -> np.ndarray:
        """Linear light of encoded values.

        Shape: any; same out. Range: uint8 0..255 (by table) or float in [0, 1] (clipped) -> float32 in [0, 1].
        Errors: ValueError for another type of array.
        """
        if encoded.dtype == np.uint8:
            if encoded.ndim in (2, 3) and encoded.size:
                return cv2.LUT(encoded, self.table_lin)
            return self.table_lin[encoded]
        if encoded.dtype not in (np.float32, np.float64):
            raise ValueError(f"encoded values are uint8 or float in [0, 1], got {encoded.dtype}")
        return self.decode(np.clip(encoded, 0.0, 1.0)).astype(np.float32, copy=False)

    def to_encoded(self, linear: np.ndarray) -> np.ndarray:
        """Encoded values of linear light. Shape: any, kept. Range: float, clipped to [0, 1] -> float32 in [0, 1]."""
        return self.encode(np.clip(linear, 0.0, 1.0)).astype(np.float32, copy=False)


def to_8bit(encoded: np.ndarray) -> np.ndarray:
    """Encoded floats in [0, 1] rounded to the nearest of 256 values (a half to the even one): uint8, same shape."""
    return cv2.convertScaleAbs(encoded, alpha=255.0)


def to_16bit(encoded: np.ndarray) -> np.ndarray:
    """Encoded floats in [0, 1] rounded to the nearest of 65536 values: uint16, same shape; v / 255 becomes 257 v."""
    return np.rint(np.clip(encoded, 0.0, 1.0) * np.float32(65535)).astype(np.uint16)


def response(name: str) -> CameraResponse:
    """The response called `name` (a key of RESPONSES), or the measured curve in the file of that name.

    A curve file is text (numbers separated by spaces or commas, # starts a comment) or .npy: either N linear values
    for equally spaced encoded values from 0 to full scale, or N rows "encoded linear" with encoded from 0 to 1.
    Linear values are relative: they are divided by the last. Both columns must rise.
    Errors: ValueError, one sentence, for an unknown name or a file that is no such curve.
    """
    if name in RESPONSES:
        return RESPONSES[name]
    path = Path(name)
    if not path.is_file():
        near = did_you_mean(name, RESPONSES)
        raise ValueError(
            f"response {name!r} is neither one of {', '.join(RESPONSES)} nor a file with a measured curve{near}"
        )
    return _measured(path)


def _power(values: np.ndarray, exponent: float) -> np.ndarray:
    """values ** exponent for values >= 0; OpenCV's is several times faster on float32 and right to about 1e-7."""
    if values.dtype == np.float32 and values.ndim in (2, 3) and values.size:
        return cv2.pow(values, exponent)
    return np.power(values, exponent)


def _srgb_decode(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, _power((encoded + 0.055) / 1.055, 2.4))


def _srgb_encode(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, _power(linear, 1.0 / 2.4) * 1.055 - 0.055)


def _gamma22_decode(encoded: np.ndarray) -> np.ndarray:
    return _power(encoded, 2.2)


def _gamma22_encode(linear: np.ndarray) -> np.ndarray:
    return _power(linear, 1.0 / 2.2)


def _bt709_decode(encoded: np.ndarray) -> np.ndarray:
    curved = _power((encoded + (_BT709_ALPHA - 1.0)) / _BT709_ALPHA, 1.0 / 0.45)
    return np.where(encoded < 4.5 * _BT709_BETA, encoded / 4.5, curved)


def _bt709_encode(linear: np.ndarray) -> np.ndarray:
    curved = _power(linear, 0.45) * _BT709_ALPHA - (_BT709_ALPHA - 1.0)
    return np.where(linear < _BT709_BETA, linear * 4.5, curved)


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values


RESPONSES: dict[str, CameraResponse] = {
    "srgb": CameraResponse(name="srgb", source="IEC 61966-2-1", decode=_srgb_decode, encode=_srgb_encode),
    "gamma2.2": CameraResponse(
        name="gamma2.2",
        source="Nah et al., Deep Multi-scale CNN for Dynamic Scene Deblurring, CVPR 2017 (blur_gamma)",
        decode=_gamma22_decode,
        encode=_gamma22_encode,
    ),
    "bt709": CameraResponse(
        name="bt709",
        source="ITU-R BT.709-6, opto-electronic transfer",
        decode=_bt709_decode,
        encode=_bt709_encode,
    ),
    "linear": CameraResponse(
        name="linear", source="encoded values are linear already", decode=_unchanged, encode=_unchanged
    ),
    "hlg": CameraResponse(
        name="hlg", source="ITU-R BT.2100-2, HLG, scene light", decode=hlg_to_scene, encode=hlg_from_scene
    ),
    "pq": CameraResponse(
        name="pq",
        source="ITU-R BT.2100-2, PQ, displayed light as a share of 10,000 cd/m2",
        decode=pq_to_display,
        encode=pq_from_display,
    ),
}


def _measured(path: Path) -> CameraResponse:
    require_file(path)
    data = path.read_bytes()
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            lines = (line.split("#")[0].replace(",", " ").split() for line in data.decode("utf-8").splitlines())
            values = np.array([[float(word) for word in line] for line in lines if line])
        values = np.asarray(values, dtype=np.float64)
    except (ValueError, UnicodeDecodeError, EOFError, TypeError):
        raise ValueError(f"{path}: not a response curve; numbers in text or .npy are expected") from None
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim == 1:
        values = np.stack([np.linspace(0.0, 1.0, max(len(values), 1)), values], axis=1)
    if values.ndim != 2 or values.shape[1] != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"{path}: a response curve is N >= 2 values or N rows of two, got shape {list(values.shape)}")
    encoded, linear = values.T
    if encoded[0] != 0.0 or encoded[-1] != 1.0 or (np.diff(encoded) <= 0).any():
        raise ValueError(f"{path}: the encoded column of a response curve must rise from 0 to 1")
    if linear[0] < 0.0 or (np.diff(linear) <= 0).any():
        raise ValueError(f"{path}: the linear values of a response curve must rise and start at 0 or above")
    linear = linear / linear[-1]
    # Below the first measured value the curve is a step; encoding light that dim gives encoded 0.
    return CameraResponse(
        name=str(path),
        source=f"measured curve, {len(values)} points",
        decode=lambda values: np.interp(values, encoded, linear),
        encode=lambda values: np.interp(values, linear, encoded),
        digest=hashlib.sha256(data).hexdigest(),
    )
