"""DeblurGAN-v2's restoration set as a fixed set: blurred images of pairs with noise, JPEG and up-scaling on top.

Source: Kupyn et al., DeblurGAN-v2, ICCV 2019, section 4.4: 600 blurred images of GoPro and 600 of DVD, degraded through
albumentations (synth/degrade/restoration_mix.py), 8,000 for training and 1,200 for testing. Which images, and how 1,200
became 9,200, is not said. Here they are spread evenly over each folder's training images, none is in both halves, and
every image is degraded about as often as the others, each time anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from core import camera_response
from core.files import sha256_of
from core.image_files import encode_png, list_images, natural_sorted, read_image
from core.pool import ordered_map
from core.progress import PairProgress
from core.provenance import cpu_count
from core.random_streams import stream
from synth.degrade import DEGRADATIONS
from synth.manifest import PairRecord
from synth.official_sets import DVD_TEST_SEQUENCES
from synth.pair_set import Refusal, open_set

DEGRADATION = "restore-mix"
# Names of a blurred and a sharp folder side by side, as official sets and their re-packs have them.
SIDES = (("blur", "sharp"), ("input", "GT"), ("input", "target"), ("blur", "gt"))
LEFT_OUT = ("test", "val", *DVD_TEST_SEQUENCES)  # folders of official sets that others test on


@dataclass(frozen=True, kw_only=True)
class RestorationConfig:
    """What is asked for. Errors: ValueError for a number that cannot work."""

    folders: tuple[Path, ...]  # of pairs: GOPRO_Large, DeepVideoDeblurring_Dataset or any with blur/ and sharp/
    images: int = 600  # of each folder
    train: int = 8000  # pairs
    test: int = 1200
    seed: int = 0

    def __post_init__(self) -> None:
        for flag, number in (("--images", self.images), ("--train", self.train), ("--test", self.test)):
            if number < 1:
                raise ValueError(f"{flag} is at least 1, got {number}")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A pair that degraded ones are made of. name: of all its pairs in the set."""

    name: str
    blur: Path
    sharp: Path


@dataclass(frozen=True, kw_only=True)
class Work:
    """A pair to be made: version number `version` of a source, for a split."""

    source: Source
    version: int
    split: str


def make(config: RestorationConfig, out: Path, *, workers: int | None = None, resume: bool = False) -> str:
    """Make the set; returns one sentence about it. Errors: ValueError, Refusal: one sentence; OSError."""
    sources = chosen_sources(config)
    works = list(planned(config, sources))
    pair_set = open_set(Path(out), _identity(config, sources), resume=resume)
    pair_set.workers = workers or cpu_count()
    if pair_set.finished:
        return f"{len(pair_set.records)} pairs in {out}, finished before and verified; nothing was written"
    waiting = works[len(pair_set.records) :]
    with (
        PairProgress(len(works), done=len(pair_set.records)) as progress,
        ThreadPoolExecutor(pair_set.workers) as pool,
    ):
        make_one = partial(_degraded, config.seed)
        for record, blur_png, sharp_png in ordered_map(pool, make_one, waiting, ahead=pair_set.workers + 2):
            pair_set.add(record, blur_png, sharp_png, None)
            progress.event(record.sequence, "pair")
    pair_set.finish()
    return f"{config.train} training and {config.test} test pairs of {len(sources)} images in {out}"


def chosen_sources(config: RestorationConfig) -> list[Source]:
    """`images` pairs of each folder, spread evenly over it. Errors: Refusal for a folder without enough pairs."""
    found: list[Source] = []
    for number, folder in enumerate(config.folders):
        pairs = pairs_of(folder)
        if len(pairs) < config.images:
            raise Refusal(
                f"{folder}: {len(pairs)} pairs of blurred and sharp images are there (in folders "
                f"{' or '.join(' and '.join(side) for side in SIDES[:2])}), {config.images} are needed; give more, or "
                "fewer with --images"
            )
        places = [(2 * place + 1) * len(pairs) // (2 * config.images) for place in range(config.images)]
        for place in places:
            blur, sharp = pairs[place]
            name = "-".join(blur.relative_to(folder).with_suffix("").parts)
            found.append(Source(name=f"{number}-{name}", blur=blur, sharp=sharp))
    return found


def pairs_of(folder: Path) -> list[tuple[Path, Path]]:
    """Blurred and sharp images of all folders side by side below `folder`, test parts of official sets left out."""
    if not folder.is_dir():
        raise Refusal(
            f"{folder} is no folder; give GOPRO_Large, DeepVideoDeblurring_Dataset or any with blur and sharp"
        )
    found: list[tuple[Path, Path]] = []
    for home in (folder, *natural_sorted(path for path in folder.rglob("*") if path.is_dir())):
        if any(part in LEFT_OUT for part in home.relative_to(folder).parts):
            continue
        side = next((side for side in SIDES if all((home / name).is_dir() for name in side)), None)
        if side is not None:
            sharp = {path.stem: path for path in list_images(home / side[1])}
            found += [(path, sharp[path.stem]) for path in list_images(home / side[0]) if path.stem in sharp]
    return found


def planned(config: RestorationConfig, sources: Sequence[Source]) -> Iterator[Work]:
    """Every pair in order: first the training ones, version by version, then the test ones.

    Which images are tested on is drawn from the seed, as large a share of them as of the pairs, at least one of each
    kind. Errors: Refusal if one image is all there is.
    """
    if len(sources) < 2:
        raise Refusal("one image cannot be both trained and tested on; give two or more")
    share = config.test / (config.train + config.test)
    count = min(len(sources) - 1, max(1, round(share * len(sources))))
    drawn = set(stream(config.seed, "restoration test images").permutation(len(sources))[:count].tolist())
    for split, total in (("train", config.train), ("test", config.test)):
        own = [source for number, source in enumerate(sources) if (number in drawn) == (split == "test")]
        for number in range(total):
            version, place = divmod(number, len(own))
            yield Work(source=own[place], version=version, split=split)


def _degraded(seed: int, work: Work) -> tuple[PairRecord, bytes, bytes]:
    """A pair: its line of the manifest and its two PNG files."""
    source = work.source
    blur, sharp = read_image(source.blur), read_image(source.sharp)
    key = f"{source.name}_{work.version:03d}"
    chance = stream(seed, source.name, work.version, DEGRADATION)
    given = DEGRADATIONS[DEGRADATION](blur.astype(np.float32) / np.float32(255), chance)
    blur_png, sharp_png = encode_png(camera_response.to_8bit(given)), encode_png(sharp)
    record = PairRecord(
        key=key,
        split=work.split,
        sequence=source.name,
        blur=f"{work.split}/blur/{key}.png",
        sharp=f"{work.split}/sharp/{source.name}.png",  # one for all versions
        blur_sha256=sha256(blur_png).hexdigest(),
        sharp_sha256=sha256(sharp_png).hexdigest(),
        source=f"pair:{source.blur.name}",
        source_fps=0.0,
        first_frame=work.version,
        centre_frame=work.version,
        last_frame=work.version,
        window=1,
        factor=1,
        virtual_frames=1,
        span_s=0.0,
        centre_s=float(work.version),
        response="linear",
        interpolator="none",
        recipe="restoration",
        camera="none",
        sharp_transform="none",
        degradations=[DEGRADATION],
        seed=seed,
        still=blur_png == sharp_png,
    )
    return record, blur_png, sharp_png


def _identity(config: RestorationConfig, sources: Sequence[Source]) -> dict[str, object]:
    """What decides the bytes of the set, as JSON has it."""
    values = {
        "restoration": [f"{source.name} {sha256_of(source.blur)[:16]}" for source in sources],
        "images": config.images,
        "train": config.train,
        "test": config.test,
        "seed": config.seed,
        "layout": "flat",
    }
    return json.loads(json.dumps(values))
