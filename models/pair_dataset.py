"""Blurred/sharp pairs for training: read from pairs.jsonl, cropped and flipped as the seed says."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synth import camera, shards
from synth.image_files import image_size, read_image
from synth.rng import stream

CACHE_BYTES = 2 << 30  # decoded pairs kept in memory
HELD_OUT_SHARE = 0.1
HELD_OUT_MOST = 8
RESPONSE_EXPONENTS = (1.0, 2.2)  # from GoPro's plain mean of values to its mean of linear light (gamma 2.2)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Paths of a blurred image and its sharp counterpart. response: the camera response that it was averaged under."""

    key: str
    sequence: str
    split: str
    order: float  # position in its sequence
    blur: Path
    sharp: Path
    response: str = "srgb"


@dataclass(frozen=True, kw_only=True)
class PairSets:
    """What is trained on and what validates. digest: sha256 over all manifests. held_out: what validates, in words."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    digest: str
    held_out: str


def load_pairs(folders: Sequence[Path]) -> PairSets:
    """Read the manifests of one or more sets made by synth/make_pairs.py.

    Records of the split "val" validate; where there are none, the last sequences (about a tenth of the pairs) do.
    Errors: FileNotFoundError, ValueError: one sentence that names the folder.
    """
    pairs: list[Pair] = []
    digest = hashlib.sha256()
    for number, folder in enumerate(folders):
        found, manifest = _read_manifest(Path(folder), f"{number}:" if len(folders) > 1 else "")
        pairs += found
        digest.update(manifest)
    validation = _some_of_each_sequence([pair for pair in pairs if pair.split == "val"])
    train = [pair for pair in pairs if pair.split == "train"]
    if validation:
        held_out = f"{len(validation)} pairs of the split val"
    else:
        train, validation, held_out = _hold_out(train)
    if not train:
        where = ", ".join(str(folder) for folder in folders)
        raise ValueError(
            f"{where}: no pairs of the split train are left to train on; make some with synth/make_pairs.py"
        )
    return PairSets(train=tuple(train), validation=tuple(validation), digest=digest.hexdigest(), held_out=held_out)


def _hold_out(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair], str]:
    """Keep back the whole last sequence (of a single one, its last tenth): what trains, what validates, in words."""
    if len(pairs) < 2:
        return list(pairs), [], "nothing (there is one pair only)"
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    if len(names) == 1:
        kept = min(HELD_OUT_MOST, max(1, round(len(pairs) * HELD_OUT_SHARE)))
        return list(pairs[:-kept]), list(pairs[-kept:]), f"the last {kept} pairs of {names[0]}"
    # All of the sequence leaves the training, even where a part of it is enough to validate.
    rest = [pair for pair in pairs if pair.sequence != names[-1]]
    last = [pair for pair in pairs if pair.sequence == names[-1]][:HELD_OUT_MOST]
    return rest, last, f"{len(last)} pairs of the sequence {names[-1]}"


def _some_of_each_sequence(pairs: Sequence[Pair]) -> list[Pair]:
    """The first few pairs of every sequence, together about as many as validation can afford."""
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    each = max(1, HELD_OUT_MOST // max(1, len(names)))
    kept: list[Pair] = []
    for name in names:
        kept += [pair for pair in pairs if pair.sequence == name][:each]
    return kept[:HELD_OUT_MOST]


def _read_manifest(folder: Path, prefix: str) -> tuple[list[Pair], bytes]:
    path = folder / "pairs.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make pairs with synth/make_pairs.py --out {folder}")
    data = path.read_bytes()
    pairs = []
    for number, line in enumerate(data.decode("utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            pair = Pair(
                key=record["key"],
                sequence=f"{prefix}{record['sequence']}",
                split=record["split"],
                order=float(record["centre_s"]),
                blur=folder / record["blur"],
                sharp=folder / record["sharp"],
                response=record["response"],
            )
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}, line {number}: not a record of a pair; make the set again") from None
        if not shards.exists(pair.blur) or not shards.exists(pair.sharp):
            raise FileNotFoundError(f"{path}, line {number}: {pair.blur} or {pair.sharp} is missing")
        pairs.append(pair)
    if not pairs:
        raise ValueError(f"{path}: the set is empty; make pairs with synth/make_pairs.py")
    return pairs, data


class PairSampler:
    """Random crops of training clips. What step n gets depends on the seed and n alone, so that resuming is exact.

    flips: "horizontal", "vertical", "transpose". response_share: this share of the clips is decoded to linear light,
    brought to full scale by one gain, and encoded with the power 1/g, g drawn from RESPONSE_EXPONENTS: as a camera of
    that response would have recorded them. g = 1 gives blur that is a plain mean of pixel values. A measured curve
    that is not at hand any more leaves a clip as it is.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        seed: int,
        crop_px: int,
        clip_frames: int,
        flips: Sequence[str],
        reversal: bool,
        response_share: float = 0.0,
    ):
        self.clips = _clips(pairs, clip_frames)
        self.seed, self.crop_px, self.flips, self.reversal = seed, crop_px, tuple(flips), reversal
        self.response_share = response_share
        self._responses = _responses(pairs) if response_share else {}
        self._cache: dict[Path, np.ndarray] = {}
        self._cached_bytes = 0

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Blurred and sharp clips of a step. Shape: two float32 [size, T, 3, crop, crop]. Range: [0, 1]."""
        samples = [self._sample(step * size + index) for index in range(size)]
        blur, sharp = (np.stack([sample[side] for sample in samples]) for side in (0, 1))
        return _to_tensor(blur), _to_tensor(sharp)

    def _sample(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, place = divmod(position, len(self.clips))
        clip = self.clips[int(stream(self.seed, "order", epoch).permutation(len(self.clips))[place])]
        rng = stream(self.seed, "sample", position)
        height, width = self._read(clip[0].blur).shape[:2]
        top, left = (int(rng.integers(side - self.crop_px + 1)) for side in (height, width))
        mirrored, upside_down, reversed_ = rng.random(3) < 0.5
        ordered = clip[::-1] if reversed_ and self.reversal else clip
        window = np.s_[top : top + self.crop_px, left : left + self.crop_px]
        transposed = "transpose" in self.flips and rng.random() < 0.5
        sides: list[np.ndarray] = []
        for paths in ([pair.blur for pair in ordered], [pair.sharp for pair in ordered]):
            frames = np.stack([self._read(path)[window] for path in paths])  # [T, crop, crop, 3]
            frames = frames[:, :, ::-1] if mirrored and "horizontal" in self.flips else frames
            frames = frames[:, ::-1] if upside_down and "vertical" in self.flips else frames
            frames = frames.swapaxes(1, 2) if transposed else frames
            sides.append(frames)
        response = self._responses.get(clip[0].response)
        if response is None or rng.random() >= self.response_share:
            return _unit(sides[0]), _unit(sides[1])
        return _through_another_response(sides[0], sides[1], response, float(rng.uniform(*RESPONSE_EXPONENTS)))

    def _read(self, path: Path) -> np.ndarray:
        image = self._cache.get(path)
        if image is None:
            image = read_image(path, deep=True)
            if self._cached_bytes + image.nbytes <= CACHE_BYTES:
                self._cache[path] = image
                self._cached_bytes += image.nbytes
        return image


def smallest_side(pairs: Sequence[Pair]) -> int:
    """The shortest side of all images, read from their headers. Units: px.

    Errors: ValueError if the two images of a pair, or the images of a sequence, differ in size.
    """
    sides: list[int] = []
    first: dict[str, tuple[Pair, tuple[int, int]]] = {}
    for pair in pairs:
        size = image_size(pair.blur)
        if size != image_size(pair.sharp):
            raise ValueError(f"{pair.blur} and {pair.sharp} have different sizes; a pair has one size")
        other, expected = first.setdefault(pair.sequence, (pair, size))
        if size != expected:
            raise ValueError(f"{pair.blur} and {other.blur} have different sizes; a sequence has one size")
        sides += size
    return min(sides)


def centre_crop(path: Path, side: int) -> Tensor:
    """The middle of an image, at most `side` px. Shape: [3, h, w] float32. Range: [0, 1]."""
    image = read_image(path, deep=True)
    top, left = (max(0, (extent - side) // 2) for extent in image.shape[:2])
    return _to_tensor(_unit(image[top : top + side, left : left + side]))


def _clips(pairs: Sequence[Pair], frames: int) -> list[tuple[Pair, ...]]:
    """Runs of `frames` neighbours of one sequence; shorter where no sequence is that long."""
    sequences: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        sequences[pair.sequence].append(pair)
    frames = min(frames, max(len(sequence) for sequence in sequences.values()))
    clips = []
    for sequence in sequences.values():
        ordered = sorted(sequence, key=lambda pair: pair.order)
        clips += [tuple(ordered[start : start + frames]) for start in range(len(ordered) - frames + 1)]
    return clips


def _responses(pairs: Sequence[Pair]) -> dict[str, camera.CameraResponse]:
    """The responses of pairs by name, less those whose file is not at hand."""
    found = {}
    for name in sorted({pair.response for pair in pairs}):
        try:
            found[name] = camera.response(name)
        except ValueError:
            continue
    return found


def _through_another_response(
    blur: np.ndarray, sharp: np.ndarray, response: camera.CameraResponse, exponent: float
) -> tuple[np.ndarray, np.ndarray]:
    """Clips as a camera of the response light^(1/exponent) would show them, float32 in [0, 1], same shapes."""
    values = (side if side.dtype == np.uint8 else _unit(side) for side in (blur, sharp))  # 8 bit goes by table
    blur_lin, sharp_lin = (response.to_linear(np.ascontiguousarray(side)) for side in values)
    top = np.float32(max(blur_lin.max(), sharp_lin.max(), 1e-3))
    encoded = [np.power(side / top, np.float32(1 / exponent), dtype=np.float32) for side in (blur_lin, sharp_lin)]
    return encoded[0], encoded[1]


def _unit(image: np.ndarray) -> np.ndarray:
    """8-bit or 16-bit values as float32 in [0, 1], same shape."""
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def _to_tensor(image: np.ndarray) -> Tensor:
    """[..., H, W, 3] -> [..., 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, -3)))
