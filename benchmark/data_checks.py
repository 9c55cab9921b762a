"""The doctor's checks of data: completeness, sizes and pixels of the real test sets, and leaks of training pairs.

Pixels tell how an image pair was made: the domain of the blur, sharpness, displacement, JPEG, likeness. Images are
uint8 [H, W, 3], RGB, as image files hold them; luma planes are float64 [H, W] in 0..255. A check says one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.fft

from benchmark.metrics.images import luma
from benchmark.protocols import PROTOCOLS
from benchmark.testsets import TESTSETS
from benchmark.testsets.base import Clip, Sample, TestSetEntry, some
from core.image_files import read_header, read_picture, require_colour
from models.training.pair_sources import layout_pairs, manifest_pairs


@dataclass(frozen=True, kw_only=True)
class Finding:
    """level: "ok", "warn" (the run works, its figures need a remark) or "fail" (mend it first)."""

    level: str
    check: str
    sentence: str

    def line(self) -> str:
        """One line, whatever the sentence holds."""
        return f"{self.level:<4}  {self.check}: {' '.join(self.sentence.split())}"


def ok(check: str, sentence: str) -> Finding:
    return Finding(level="ok", check=check, sentence=sentence)


def warn(check: str, sentence: str) -> Finding:
    return Finding(level="warn", check=check, sentence=sentence)


def fail(check: str, sentence: str) -> Finding:
    return Finding(level="fail", check=check, sentence=sentence)


GAMMA = 2.2  # of GoPro's other input folder
BLOCK_PX = 64  # of the local means that tell the blur's domain
DARKEST = 0.02  # of full scale: the level below which a block counts as that dark
JPEG_BLOCK_PX = 8
# Frequencies (down, right) of the 8 x 8 cosine transform at which JPEG's steps are looked for.
JPEG_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (2, 2), (1, 3), (3, 1), (3, 3), (0, 4), (4, 0))
JPEG_STEPS = range(2, 49)
JPEG_COMB, JPEG_VALUES = 0.3, 300  # untouched photographs stay below 0.1 with that many values
HASH_SIDE = 16
SMALLEST_ENERGY = 1e-6


def _eight_bits(path: Path) -> np.ndarray:
    """An image, grey ones as three equal channels, deep ones rounded. Shape: [H, W, 3] uint8, RGB. Errors: ValueError,
    OSError."""
    picture = read_picture(path)
    return picture.rgb if picture.levels == 255 else ((picture.rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def luma_of(image: np.ndarray) -> np.ndarray:
    """Luma of an image. Shape: [H, W, 3] uint8 -> [H, W] float64, 0..255."""
    return luma(np.ascontiguousarray(image.transpose(2, 0, 1)))


def gamma_evidence(blur: np.ndarray, sharp: np.ndarray) -> tuple[float, float]:
    """(found, expected): how much brighter the blurred image is, and how much gamma 2.2 would make it, over blocks.

    A mean of encoded values keeps the local mean of what was averaged. A mean under gamma 2.2 is brighter, by
    (2.2 - 1) / 2 times the variance that the blur took away over the level (second order). Both are sums over blocks;
    those summed over several images divide to about 0 for a plain mean and about 1 for gamma 2.2. What moves through a
    block's border adds noise to `found`: the tenth of the blocks that changed most is left out.
    Shape: two images of one size.
    """
    x, y = (image.astype(np.float64) / 255 for image in (blur, sharp))
    side = max(8, min(BLOCK_PX, min(x.shape[:2]) // 4))
    mean_x, mean_y = _block_means(x, side), _block_means(y, side)
    found = mean_x - mean_y
    lost = (_block_means(y * y, side) - mean_y**2) - (_block_means(x * x, side) - mean_x**2)
    expected = (GAMMA - 1) / 2 * lost / np.maximum(mean_y, DARKEST)
    usual = np.abs(found) <= np.quantile(np.abs(found), 0.9)
    return float(found[usual].sum()), float(expected[usual].sum())


def sharpness(plane: np.ndarray) -> float:
    """Mean squared second difference of a luma plane, after a little smoothing against noise."""
    smooth = cv2.GaussianBlur(plane, (0, 0), 1.0)
    return float(np.square(cv2.Laplacian(smooth, cv2.CV_64F)).mean())


def displacement(first: np.ndarray, second: np.ndarray) -> tuple[float, int, int]:
    """(likeness, down, right): the whole-pixel shift of `first` at which two lumas are most alike, and how much.

    Shape: two planes of one size. likeness: normalised correlation there, 1 for the same picture. Units: px.
    """
    height, width = first.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    planes = [(plane - cv2.GaussianBlur(plane, (0, 0), 16)) * window for plane in (first, second)]
    energy = np.sqrt(np.square(planes[0]).sum() * np.square(planes[1]).sum())
    if energy < SMALLEST_ENERGY:  # two flat images
        return 1.0, 0, 0
    product = scipy.fft.rfft2(planes[1]) * np.conj(scipy.fft.rfft2(planes[0]))
    correlation = scipy.fft.irfft2(product, s=(height, width))
    down, right = divmod(int(np.argmax(correlation)), width)
    likeness = float(correlation[down, right] / energy)
    return likeness, (down + height // 2) % height - height // 2, (right + width // 2) % width - width // 2


def jpeg_steps(plane: np.ndarray) -> dict[tuple[int, int], int]:
    """Frequencies at which the values of the 8 x 8 cosine transform are multiples of a step, as JPEG leaves them.

    Shape: a luma plane whose top left corner is that of the JPEG. Returns {(down, right): step}; two or more are a
    sure sign. Qualities up to about 95 leave steps above 1; above that nothing can be told, and little is lost.
    """
    rows, columns = plane.shape[0] // JPEG_BLOCK_PX, plane.shape[1] // JPEG_BLOCK_PX
    whole = plane[: rows * JPEG_BLOCK_PX, : columns * JPEG_BLOCK_PX] - 128.0
    blocks = whole.reshape(rows, JPEG_BLOCK_PX, columns, JPEG_BLOCK_PX).transpose(0, 2, 1, 3)
    values = scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho")
    found = {}
    for down, right in JPEG_FREQUENCIES:
        magnitudes = np.abs(values[:, :, down, right].ravel())
        for step in JPEG_STEPS:
            large = magnitudes[magnitudes > 1.5 * step]  # values near 0 are multiples of anything
            if len(large) < JPEG_VALUES:
                break
            if np.cos(2 * np.pi / step * large).mean() > JPEG_COMB:
                found[down, right] = step
                break
    return found


def perceptual_hash(image: np.ndarray) -> np.ndarray | None:
    """256 bits that neighbouring frames and re-compressed copies nearly share: which of two neighbours is brighter.

    Shape: [H, W, 3] uint8 -> [256] bool. None for an image with too little in it to be told from others.
    Source: the "difference hash" in common use.
    """
    small = cv2.resize(luma_of(image), (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
    if np.abs(np.diff(small, axis=1)).mean() < 1.0:
        return None
    return (small[:, 1:] > small[:, :-1]).ravel()


def _block_means(values: np.ndarray, side: int) -> np.ndarray:
    """Means over whole blocks, those at the image's border left out. Shape: [H, W, 3] -> [rows, columns, 3]."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    whole = values[: rows * side, : columns * side]
    means = whole.reshape(rows, side, columns, side, -1).mean(axis=(1, 3))
    return means[1:-1, 1:-1] if min(rows, columns) > 2 else means


LOOKED_AT = 12  # images of a set whose pixels are looked at, spread over it
HASHED = 400  # images of a set, and of the training pairs, that are compared by their hashes
SIZE_SLACK_PX = 2  # Lai's sharp and blurred images differ by about 1 px in size
MOST_DISPLACED_PX = {"none": 4, "shift": 10, "ecc": 24}
LEAST_LIKE = 0.15  # correlation of a blurred image with its sharp one; photographs of other things stay below 0.12
HARDLY_LIKE, FAR_PX = 0.3, 24  # drawn pictures of other things reach 0.25, at a shift of any length
SURELY_LIKE = 0.5  # below it, strong blur makes the place of the correlation's maximum uncertain
PLAIN_BELOW, GAMMA_ABOVE = 0.2, 0.3  # shares of `gamma_evidence`
SAME_HASH_BITS = 32  # of 256; other pictures differ in 80 and more, neighbouring frames in few
GOPRO_FOLDERS = {"blur": "gopro-linear", "blur_gamma": "gopro-gamma"}


def examine_set(name: str, folder: Path) -> Iterator[Finding]:
    """All findings about one real test set."""
    entry = TESTSETS[name]
    problems = entry.problems(folder)
    clips: tuple[Clip, ...] = ()
    try:
        clips = entry.open(folder, PROTOCOLS[entry.protocols[0]], False).clips()
    except (FileNotFoundError, ValueError) as error:
        problems = problems or [str(error)]
    count = sum(len(clip.samples) for clip in clips)
    if problems:
        more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
        yield fail(f"{name}: complete", problems[0] + more)
    else:
        yield ok(f"{name}: complete", f"{count} images in {len(clips)} clips, {folder}")
    if not clips:
        return
    yield sizes(name, entry, clips)
    chosen = _spread([sample for clip in clips for sample in clip.samples], LOOKED_AT)
    try:
        yield from _pixels(name, entry, clips, chosen)
        if name == "gopro":
            yield from _domains(entry, folder)
    except (ValueError, OSError) as error:
        yield fail(f"{name}: images", str(error))


def sizes(name: str, entry: TestSetEntry, clips: Sequence[Clip]) -> Finding:
    """From the headers of all blurred and the first sharp images: colour, 8 bits, both of one size, the set's size."""
    slack = SIZE_SLACK_PX if PROTOCOLS[entry.protocols[0]].align == "shift" else 0
    found: set[tuple[int, int]] = set()
    for sample in (sample for clip in clips for sample in clip.samples):
        shapes = []
        for path in (sample.blur, *sample.references[:1]):
            try:
                header = read_header(path)
                if name != "pairs":  # one's own may be grey or deep
                    require_colour(path, header)
            except (ValueError, OSError) as error:
                return fail(f"{name}: sizes", str(error))
            shapes.append((header.height, header.width))
        found.add(shapes[0])
        if any(abs(shapes[0][axis] - shapes[-1][axis]) > slack for axis in (0, 1)):
            (height, width), (other_height, other_width) = shapes
            sides = f"{width} x {height} px and its sharp image {other_width} x {other_height} px"
            return fail(f"{name}: sizes", f"{sample.key} has {sides}")
    words = some(f"{width} x {height}" for height, width in sorted(found))
    if entry.sizes and (strange := sorted(found - {*entry.sizes, *((w, h) for h, w in entry.sizes)})):
        expected = some(f"{width} x {height}" for height, width in entry.sizes)
        return fail(f"{name}: sizes", f"images of {strange[0][1]} x {strange[0][0]} px, {expected} px expected")
    return ok(f"{name}: sizes", f"{words} px, 8-bit RGB")


def _pixels(name: str, entry: TestSetEntry, clips: Sequence[Clip], chosen: Sequence[Sample]) -> Iterator[Finding]:
    protocol = PROTOCOLS[entry.protocols[0]]
    compressed, swapped, strange, displaced = [], [], [], []
    for sample in chosen:
        blur = luma_of(_eight_bits(sample.blur))
        paths = [sample.blur, *sample.references[len(sample.references) // 2 :][:1]]
        planes = [blur, *(luma_of(_eight_bits(path)) for path in paths[1:])]
        for path, plane in zip(paths, planes, strict=True):
            if path.suffix.lower() == ".png" and len(jpeg_steps(plane)) > 1:
                compressed.append(f"{sample.key} ({path.parent.name}/{path.name})")
        if len(planes) == 2:
            height, width = (min(plane.shape[axis] for plane in planes) for axis in (0, 1))
            first, second = (plane[:height, :width] for plane in planes)
            if sharpness(first) > sharpness(second):
                swapped.append(sample.key)
            likeness, down, right = displacement(first, second)
            far = max(abs(down), abs(right)) > FAR_PX
            if likeness < LEAST_LIKE or (likeness < HARDLY_LIKE and far):
                strange.append(sample.key)
            elif likeness > SURELY_LIKE and max(abs(down), abs(right)) > MOST_DISPLACED_PX.get(protocol.align, 64):
                displaced.append(f"{sample.key} by {right} px right, {down} px down")
    looked = f"{len(chosen)} images looked at"
    if compressed:
        yield fail(f"{name}: JPEG artefacts", f"PNG files made from JPEG: {some(compressed)}; {looked}")
    else:
        yield ok(f"{name}: JPEG artefacts", f"none in PNG files; {looked}")
    if not protocol.reference:
        return
    if len(swapped) > len(chosen) / 2:
        yield fail(f"{name}: blurred and sharp", f"swapped: the blurred images are sharper, such as {some(swapped)}")
    elif swapped:
        yield warn(f"{name}: blurred and sharp", f"the blurred image is sharper in {some(swapped)}; {looked}")
    else:
        yield ok(f"{name}: blurred and sharp", f"the sharp images are sharper; {looked}")
    neighbour = _wrong_frame(clips)
    if strange:
        yield fail(f"{name}: alignment", f"blurred and sharp show different things: {some(strange)}; {looked}")
    elif neighbour:
        yield fail(f"{name}: alignment", neighbour)
    elif displaced:
        level = fail if len(displaced) > len(chosen) / 2 else warn
        yield level(f"{name}: alignment", f"the blurred image is displaced in {some(displaced)}; {looked}")
    else:
        yield ok(f"{name}: alignment", f"blurred and sharp fit; {looked}")


def _wrong_frame(clips: Sequence[Clip]) -> str:
    """A sentence if blurred frames fit the sharp frame before or after them better than their own, else ""."""
    votes = {-1: 0, 0: 0, 1: 0}
    places = [(clip, index) for clip in clips for index in range(1, len(clip.samples) - 1)]
    for clip, index in _spread(places, LOOKED_AT):
        blur = luma_of(_eight_bits(clip.samples[index].blur))
        errors = {}
        for offset in votes:
            sharp = luma_of(_eight_bits(clip.samples[index + offset].references[0]))
            errors[offset] = float(np.square(sharp - blur).mean()) if sharp.shape == blur.shape else np.inf
        votes[min(errors, key=lambda offset: (errors[offset], abs(offset)))] += 1
    for offset, word in ((-1, "before"), (1, "after")):
        if votes[offset] > 0.7 * sum(votes.values()):
            share = f"{votes[offset]} of {sum(votes.values())}"
            return f"shifted by a frame: blurred images fit the sharp one {word} theirs, {share}"
    return ""


def _domains(entry: TestSetEntry, folder: Path) -> Iterator[Finding]:
    """GoPro: whether the folders blur and blur_gamma hold what their names say."""
    for variant, protocol in GOPRO_FOLDERS.items():
        try:
            clips = entry.open(folder, PROTOCOLS[protocol], False).clips()
        except (FileNotFoundError, ValueError):
            continue
        found = expected = 0.0
        chosen = _spread([sample for clip in clips for sample in clip.samples], 2 * LOOKED_AT)
        for sample in chosen:
            blur, sharp = _eight_bits(sample.blur), _eight_bits(sample.references[0])
            if blur.shape == sharp.shape:
                evidence = gamma_evidence(blur, sharp)
                found, expected = found + evidence[0], expected + evidence[1]
        yield _domain(variant, found, expected, len(chosen))


def _domain(variant: str, found: float, expected: float, count: int) -> Finding:
    """The finding about one folder. found, expected: sums of `gamma_evidence` over its images."""
    subject, share = f"gopro: {variant}", found / expected if expected > 0 else float("nan")
    words = f"{share:.2f} on a scale from 0, plain mean, to 1, gamma 2.2; {count} images"
    if not share < PLAIN_BELOW and not share > GAMMA_ABOVE:
        return warn(subject, f"cannot be told whether it is a plain mean or gamma 2.2 ({words})")
    seen, meant = ("linear", "gamma")[share > GAMMA_ABOVE], ("linear", "gamma")[variant == "blur_gamma"]
    names = {"linear": "a plain mean of the frames", "gamma": "a mean under gamma 2.2"}
    if seen != meant:
        return fail(subject, f"this is {names[seen]} ({words}), not {names[meant]}; is it the wrong sub-folder?")
    return ok(subject, f"{names[seen]} ({words})")


def leaks(pairs: Sequence[Path], sets: Sequence[tuple[str, Path]]) -> Iterator[Finding]:
    """Training pairs whose sharp images are those of a test set, or neighbouring frames of them, by perceptual hash."""
    training: list[tuple[str, Path]] = []
    for folder in pairs:
        manifest = folder / "pairs.jsonl"
        if layout := layout_pairs(folder, ""):
            training += [(pair.key, pair.sharp) for pair in layout[0]]
            continue
        if not manifest.is_file():
            yield ok("leaks", f"{folder}: no training pairs there yet")
            continue
        try:
            training += [(pair.key, pair.sharp) for pair in manifest_pairs(folder)[0]]
        except (ValueError, OSError) as error:
            yield fail("leaks", str(error))
    if not training:
        return
    known = _hashes(_spread(training, HASHED))
    for name, folder in sets:
        entry = TESTSETS[name]
        try:
            clips = entry.open(folder, PROTOCOLS[entry.protocols[0]], False).clips()
        except (FileNotFoundError, ValueError):
            continue  # said as incomplete already
        samples = [sample for clip in clips for sample in clip.samples]
        images = [(s.key, (s.references or (s.blur,))[len(s.references) // 2]) for s in samples]
        tested = _hashes(_spread(images, HASHED))
        found = _alike(tested, known)
        looked = f"{len(tested)} test and {len(known)} training images compared"
        if found:
            yield fail(f"{name}: leaks", f"training pairs show test images: {some(found)}; {looked}")
        else:
            yield ok(f"{name}: leaks", f"no training pair shows a test image; {looked}")


def _hashes(images: Sequence[tuple[str, Path]]) -> list[tuple[str, np.ndarray]]:
    found = []
    for key, path in images:
        try:
            bits = perceptual_hash(_eight_bits(path))
        except (ValueError, OSError):
            continue  # said among the images already
        if bits is not None:
            found.append((key, bits))
    return found


def _alike(tested: Sequence[tuple[str, np.ndarray]], known: Sequence[tuple[str, np.ndarray]]) -> list[str]:
    if not tested or not known:
        return []
    training = np.stack([bits for _, bits in known])
    found = []
    for key, bits in tested:
        distances = (training != bits).sum(axis=1)
        if distances.min() <= SAME_HASH_BITS:
            found.append(f"{key} = {known[int(distances.argmin())][0]}")
    return found


def _spread(items: Sequence, count: int) -> list:
    """At most `count` items, evenly spread."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
