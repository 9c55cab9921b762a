"""Rendering the mini sets: the same bytes for any number of workers, written by one thread, redone if interrupted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from benchmark.testsets.base import MARKER
from core import camera_response, schema
from core.files import sha256_of, write_bytes, write_json
from core.image_files import encode_jpeg, encode_png
from core.random_streams import stream

MINI_VERSION = 3  # raise it when a mini set's pictures change

RenderedFile = tuple[str, bytes]  # path relative to the data root, contents


@dataclass(frozen=True, kw_only=True)
class MiniPlan:
    """How a mini set is made: tasks that each render some files, and the configuration that they depend on.

    home: the folder of the set's own, relative to the data root; its marker is `home/mini.json`. Tasks may also write
    files outside of it that other mini sets share, if these are always the same.
    """

    testset: str
    home: str
    tasks: tuple[Callable[[], list[RenderedFile]], ...]
    configuration: dict[str, object]


def render_plan(data_root: Path, plan: MiniPlan, workers: int) -> None:
    """Render a mini set unless it is there, finished, of this configuration and with unchanged files.

    Only the calling thread writes. An interrupted set, or one of another configuration, is removed and rendered again.
    Errors: ValueError if the folder holds something that is not a rendered mini set; OSError (disk full).
    """
    home = data_root / plan.home
    configuration = {
        "testset": plan.testset,
        "simulated": True,
        "version": MINI_VERSION,
        "opencv": cv2.__version__,
        **plan.configuration,
    }
    if _finished(data_root, home, configuration):
        return
    _clear(home)
    write_json(home / MARKER, {"finished": False, **configuration})
    digests: dict[str, str] = {}
    rendered = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(delayed(task)() for task in plan.tasks)
    for files in rendered:
        for name, data in files:
            digests[name] = write_bytes(data_root / name, data)
    write_json(home / MARKER, {"finished": True, **configuration, "files": digests})


def encoded(image_lin: np.ndarray) -> np.ndarray:
    """sRGB-encoded float32 values of linear light, same shape, in [0, 1]."""
    return camera_response.response("srgb").to_encoded(image_lin)


def png(image: np.ndarray) -> bytes:
    """PNG of an encoded float image [H, W, 3] in [0, 1], rounded to 8 bits."""
    return encode_png(camera_response.to_8bit(np.clip(image, 0.0, 1.0)))


def jpeg(image: np.ndarray) -> bytes:
    """JPEG (quality 95) of an encoded float image [H, W, 3] in [0, 1], rounded to 8 bits."""
    return encode_jpeg(camera_response.to_8bit(np.clip(image, 0.0, 1.0)))


def with_noise(image: np.ndarray, sigma: float, seed: int, *names: str | int) -> np.ndarray:
    """An image with Gaussian noise; sigma relative to full scale 1.0. Shape and domain unchanged, not clipped."""
    rng = stream(seed, *names, "noise")
    return image + rng.normal(0.0, sigma, image.shape).astype(np.float32)


def _finished(data_root: Path, home: Path, configuration: dict[str, object]) -> bool:
    try:
        marker = schema.parse((home / MARKER).read_text(encoding="utf-8"))
        files = marker.pop("files", {})
        if marker != {"finished": True, **configuration} or not files:
            return False
        return all(sha256_of(data_root / name) == digest for name, digest in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def _clear(home: Path) -> None:
    """Remove an old mini set, its marker last, so that a cut here still leaves a folder known to be one."""
    if not home.is_dir():
        return
    children = [child for child in home.iterdir() if child.name != MARKER]
    if not (home / MARKER).is_file() and any(child.suffix != ".part" for child in children):
        raise ValueError(f"{home}: holds files that are not a rendered mini set; give the mini sets another folder")
    for child in children:
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
