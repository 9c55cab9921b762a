"""The manifest of a set of pairs: one JSON object a line in pairs.jsonl, paths relative to its folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from annotated_types import MaxLen, Predicate

from core import schema, shards
from core.command_line import unknown
from core.files import append_line, rewrite_lines
from core.schema import Count, Digest, DigestOrEmpty, Inside, InsideOrEmpty, Positive, Rate, Share, Text, Whole

MANIFEST = "pairs.jsonl"
LAYOUTS = ("flat", "gopro", "dvd", "webdataset")
BLUR_MEMBER = ".blur.png"
SPLITS = ("train", "val", "test")


def is_split(name: str) -> bool:
    return name in SPLITS


def is_depth(bits: int) -> bool:
    return bits in (8, 16)


schema.MEANINGS |= {"is_split": f"expected one of {', '.join(SPLITS)}", "is_depth": "expected 8 or 16"}
Split = Annotated[str, Predicate(is_split)]
Bits = Annotated[int, Predicate(is_depth)]


@dataclass(frozen=True, kw_only=True)
class PairRecord:
    """One line of pairs.jsonl.

    blur, sharp: relative to the manifest's folder. first_frame, centre_frame, last_frame: captured frames, 0-based,
    inclusive. window: captured frames; factor: virtual frames per captured gap; virtual_frames: how many were averaged.
    span_s: the time for which the shutter is open, from the first captured frame to the last unless there is a duty
    cycle; centre_s: the sharp frame's time in the clip. Units: s, Hz.
    The keys with a default are in the manifest only where they say something else. blur_gamma: a second blurred image,
    averaged under gamma 2.2 (as GOPRO_Large has it). camera_settings: what was drawn for this pair. bits: of the
    blurred image; the sharp one has 8. duty: share of the window's time for which the shutter was open.
    row_delay_s: a rolling shutter's time from one row to the next; the middle row is exposed around the sharp frame.
    blur_extent_px to flow_disagreement are the figures of the quality gate (`synth.quality.PairQuality`); a window with
    a cut in it makes no pair, so that cut is False.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    key: Inside
    split: Split
    sequence: Inside
    blur: Inside
    sharp: Inside
    blur_sha256: Digest
    sharp_sha256: Digest
    source: Text
    source_fps: Rate
    first_frame: Count
    centre_frame: Count
    last_frame: Count
    window: Positive
    factor: Positive
    virtual_frames: Positive
    span_s: float
    centre_s: float
    response: Text
    interpolator: Text
    recipe: Text
    camera: Text
    sharp_transform: Text
    degradations: Annotated[list[Text], MaxLen(1000)]
    seed: Whole
    blur_gamma: InsideOrEmpty = ""
    blur_gamma_sha256: DigestOrEmpty = ""
    camera_settings: dict[Text, float | int | Text] = field(default_factory=dict)
    bits: Bits = 8
    duty: Share = 1.0
    row_delay_s: float = 0.0
    blur_extent_px: float | None = None
    ghost_score: float | None = None
    saturated: float | None = None
    still: bool | None = None
    cut: bool | None = None
    sharp_blur: float | None = None
    flow_disagreement: float | None = None

    def blur_path(self, folder: Path) -> Path:
        """Absolute path of the blurred image of a set in `folder`."""
        return (Path(folder) / self.blur).resolve()

    def sharp_path(self, folder: Path) -> Path:
        """Absolute path of the sharp image of a set in `folder`."""
        return (Path(folder) / self.sharp).resolve()

    def problem(self, folder: Path) -> str:
        """One sentence if an image is missing or not the one that was written, "" if both are right."""
        images = [(self.blur_path(folder), self.blur_sha256), (self.sharp_path(folder), self.sharp_sha256)]
        if self.blur_gamma:
            images.append(((Path(folder) / self.blur_gamma).resolve(), self.blur_gamma_sha256))
        for path, expected in images:
            if not shards.exists(path):
                return f"{path}: the image of pair {self.key} is missing"
            if shards.sha256_of(path) != expected:
                return f"{path}: the image of pair {self.key} is not the one that was written (its sha256 differs)"
        return ""


@dataclass(frozen=True, kw_only=True)
class PairImages:
    """What a training needs of a line of pairs.jsonl; a hand-made manifest may have no more."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    key: Inside
    split: Split
    sequence: Inside
    blur: Inside
    sharp: Inside
    centre_s: float
    response: Text


def read_manifest(folder: Path) -> list[PairRecord]:
    """All pairs of the set in `folder`, in the order they were written. A last line without its end is left out.

    Keys of later versions are ignored. Errors: ValueError, one sentence, if there is no manifest, or a line is damaged,
    is no record, stands there twice, or names a file outside of the folder.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise ValueError(f"{path}: there are no pairs here; make them with synth/make_pairs.py --out {folder}")
    return [_record(values) for values in checked_lines(Path(folder), _whole_lines(path), PairRecord)]


def checked_lines(folder: Path, data: bytes, kind: type) -> Iterator[dict[str, Any]]:
    """The values of every line of a manifest, checked: the door that every reader of one comes through.

    kind: PairRecord, or PairImages where less is needed. Errors: ValueError, one sentence with the line's number.
    """
    path, links = folder / MANIFEST, schema.Links(folder)
    seen: set[str] = set()
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else [], start=1):
        try:
            values = schema.checked(kind, line)
            for name in ("blur", "sharp", "blur_gamma"):
                if values.get(name) and links.leads_out(values[name]):
                    raise ValueError(f"key {name!r}: {values[name]!r} is a link that leads out of the folder")
            if values["key"] in seen:
                raise ValueError(f"the pair {values['key']!r} stands there twice")
        except ValueError as error:
            raise ValueError(f"{path}: line {number} is damaged ({error}); make the set again") from None
        seen.add(values["key"])
        yield values


def read_whole_lines(folder: Path) -> list[PairRecord]:
    """The pairs up to the first damaged or torn line, for resuming; empty where there is no manifest."""
    return whole_lines(folder)[0]


def whole_lines(folder: Path) -> tuple[list[PairRecord], str]:
    """The pairs up to the first damaged or torn line, and what is wrong with that line, "" if nothing is."""
    path = Path(folder) / MANIFEST
    records: list[PairRecord] = []
    if path.is_file():
        try:
            for values in checked_lines(Path(folder), _whole_lines(path), PairRecord):
                records.append(_record(values))  # one by one: those before a damaged line count
        except ValueError as error:
            return records, str(error)
    return records, ""


def append_record(folder: Path, record: PairRecord) -> None:
    """Add one line and bring it to the disk. Errors: OSError; a line that did not fit is taken back."""
    append_line(Path(folder) / MANIFEST, manifest_values(record))


def rewrite_manifest(folder: Path, records: Iterable[PairRecord]) -> None:
    """Replace the manifest in one step, unless it has exactly these lines already."""
    rewrite_lines(Path(folder) / MANIFEST, [manifest_values(record) for record in records])


def sequence_names(names: Iterable[str]) -> list[str]:
    """A name for every clip that is safe in paths and not used twice: a second "run" becomes "run-2"."""
    used: set[str] = set()
    unique = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "clip"
        candidate, number = plain, 1
        while candidate.lower() in used:  # some file systems do not tell A from a
            number += 1
            candidate = f"{plain}-{number}"
        used.add(candidate.lower())
        unique.append(candidate)
    return unique


def pair_names(layout: str, split: str, sequence: str, first_frame: int) -> tuple[str, str, str]:
    """(key, blur path, sharp path) of the pair whose window starts at a captured frame; no two windows share a start.

    Layouts: protocols of the GOPRO_Large and DeepVideoDeblurring_Dataset archives; "flat" is ours; the paths of
    "webdataset" are those inside a shard (`core.shards`).
    Errors: ValueError for another layout.
    """
    if layout == "flat":
        key = f"{sequence}_{first_frame:06d}"
        return key, f"blur/{key}.png", f"sharp/{key}.png"
    if layout == "gopro":
        name, folder = f"{first_frame:06d}", f"{split}/{sequence}"
        return f"{sequence}/{name}", f"{folder}/blur/{name}.png", f"{folder}/sharp/{name}.png"
    if layout == "dvd":
        name, folder = f"{first_frame:05d}", f"quantitative_datasets/{sequence}"
        return f"{sequence}/{name}", f"{folder}/input/{name}.png", f"{folder}/GT/{name}.png"
    if layout == "webdataset":  # what follows the first dot of the last part tells a sample's files apart
        key = f"{sequence}/{first_frame:06d}"
        return key, f"{key}{BLUR_MEMBER}", f"{key}.sharp.png"
    raise ValueError(unknown("there is no layout", layout, LAYOUTS))


def gamma_name(blur: str) -> str:
    """Where the second blurred image of a pair goes: beside the first one's folder, as in GOPRO_Large."""
    if blur.endswith(BLUR_MEMBER):
        return blur.removesuffix(BLUR_MEMBER) + ".blur_gamma.png"
    path = PurePosixPath(blur)
    return str(path.parent.with_name(f"{path.parent.name}_gamma") / path.name)


def manifest_values(record: PairRecord) -> dict[str, object]:
    """What a line of the manifest holds: keys that are not in every set are left out where they say nothing."""
    silent = {"blur_gamma": "", "blur_gamma_sha256": "", "camera_settings": {}, "bits": 8, "duty": 1.0}
    silent["row_delay_s"] = 0.0
    return {key: value for key, value in asdict(record).items() if key not in silent or value != silent[key]}


def _whole_lines(path: Path) -> bytes:
    """A last line without its end is left out: the run that wrote it was killed there."""
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1]


def _record(values: dict[str, Any]) -> PairRecord:
    return PairRecord(**{item.name: values[item.name] for item in fields(PairRecord) if item.name in values})
