"""The output folder of a synthesis run: starting, resuming, finishing and verifying it. Only the parent thread writes.

Files: images, pairs.jsonl (a pair is in it when both its images are on the disk), run.json (what was asked, how far it
got), truth.jsonl (rendered scenes only: PSNR of every pair against its true blur). run.json is written before the first
image and after the last; a folder without it that is not empty is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

from core import files, provenance, schema, shards
from core.files import append_line, rewrite_lines
from core.schema import Count, Inside, Text
from synth.exposure import Window
from synth.manifest import (
    MANIFEST,
    PairRecord,
    append_record,
    manifest_values,
    read_whole_lines,
    rewrite_manifest,
    whole_lines,
)
from synth.settings import differences
from synth.truth import METHODS, TruthRecord, summary

RUN_FILE = "run.json"
NOTE_EVERY_S = 2.0
TRUTH_FILE = "truth.jsonl"
PACKAGES = ("numpy", "opencv-python", "av", "scikit-image")


class Refusal(ValueError):
    """The run must not start: bad arguments, or an output folder that is not its own. Exit code 2."""


class Damage(ValueError):
    """A finished set is not as it was written. Exit code 1."""


@dataclass(kw_only=True)
class PairSet:
    """An open output folder. records: the pairs in it, in order; skipped: windows left out, with the reason."""

    folder: Path
    configuration: dict[str, object]
    records: list[PairRecord] = field(default_factory=list)
    truths: list[TruthRecord] = field(default_factory=list)
    skipped: list[dict[str, object]] = field(default_factory=list)
    moving_since: dict[str, int] = field(default_factory=dict)  # first gap of a clip in which something moved
    complete: dict[str, dict] = field(default_factory=dict)  # clips that are done: see `finish_clip`
    seconds_before: float = 0.0
    workers: int = 1
    finished: bool = False
    _started: float = field(default_factory=monotonic)
    _noted: float = 0.0  # when run.json was written last
    _origin: dict[str, object] = field(default_factory=dict)
    _done: set[tuple[str, int]] = field(default_factory=set)
    _packed: int = 0  # pairs whose shards are packed

    def __post_init__(self) -> None:
        self._done = {(record.sequence, record.first_frame) for record in self.records}
        self._done |= {(str(skip["sequence"]), int(str(skip["first_frame"]))) for skip in self.skipped}

    @property
    def problems(self) -> list[str]:
        """What was wrong with the clips that are done, one sentence each."""
        return [problem for clip in self.complete.values() for problem in clip["problems"]]

    @property
    def still(self) -> int:
        """How many pairs show no motion at all: both images are the same file."""
        return sum(record.blur_sha256 == record.sharp_sha256 for record in self.records)

    def is_done(self, sequence: str, window: Window) -> bool:
        """Is this window a pair already, or known to make none?"""
        return (sequence, window.first) in self._done

    def add(
        self,
        record: PairRecord,
        blur_png: bytes,
        sharp_png: bytes,
        truth: TruthRecord | None,
        blur_gamma_png: bytes | None = None,
    ) -> None:
        """Write a pair: the images first, the manifest's line last. Errors: OSError; the set stays valid."""
        write: Callable[[Path, bytes], object] = files.write_bytes
        if self.shard_pairs:
            shard = shards.shard_name(record.split, len(self.records) // self.shard_pairs)
            gamma = f"{shard}/{record.blur_gamma}" if record.blur_gamma else ""
            record = replace(record, blur=f"{shard}/{record.blur}", sharp=f"{shard}/{record.sharp}", blur_gamma=gamma)
            write = shards.write_loose
        write(self.folder / record.blur, blur_png)
        write(self.folder / record.sharp, sharp_png)
        if blur_gamma_png is not None:
            write(self.folder / record.blur_gamma, blur_gamma_png)
        if truth is not None:
            append_line(self.folder / TRUTH_FILE, asdict(truth))
            self.truths.append(truth)
        append_record(self.folder, record)
        self.records.append(record)
        self._done.add((record.sequence, record.first_frame))
        self.pack_full_shards()

    def take(self, record: PairRecord) -> None:
        """Add a pair whose images are in the folder already. Errors: OSError."""
        append_record(self.folder, record)
        self.records.append(record)
        self._done.add((record.sequence, record.first_frame))

    def skip(self, sequence: str, window: Window, reason: str, frames: list[int]) -> None:
        """Note that a window makes no pair. frames: where the cut or the repeated frames are (captured frames)."""
        self.skipped.append(
            {
                "sequence": sequence,
                "first_frame": window.first,
                "last_frame": window.last,
                "reason": reason,
                "frames": frames,
            }
        )
        self._done.add((sequence, window.first))
        if monotonic() - self._noted > NOTE_EVERY_S:  # a skip that gets lost is found again
            self.write_run_file()

    def saw_motion(self, sequence: str, gap: int) -> None:
        """Remember the first gap in which a clip moves; noted at once, because later windows depend on it."""
        if sequence not in self.moving_since:
            self.moving_since[sequence] = gap
            self.write_run_file()

    def finish_clip(self, sequence: str, frames: int, problems: list[str]) -> None:
        """Note that a clip is done: its captured frames, the pairs there are by then, what was wrong with it."""
        self.complete[sequence] = {"frames": frames, "pairs": len(self.records), "problems": problems}
        self.write_run_file()

    def finish(self) -> None:
        """The set is complete. Errors: OSError."""
        self._pack(len(self.records))
        self.finished = True
        self.write_run_file()

    @property
    def shard_pairs(self) -> int:
        """Pairs in a shard; 0 where the images lie in folders."""
        value = self.configuration.get("shard_pairs")
        return int(str(value)) if value and self.configuration.get("layout") == "webdataset" else 0

    def pack_full_shards(self) -> None:
        """Pack the shards that are full and not packed yet. Errors: OSError."""
        if self.shard_pairs:
            self._pack(len(self.records) // self.shard_pairs * self.shard_pairs)

    def _pack(self, count: int) -> None:
        """Pack the shards of the first `count` pairs."""
        while self.shard_pairs and self._packed < count:
            some = self.records[self._packed : min(count, self._packed + self.shard_pairs)]
            shard = self.folder / some[0].blur.partition("/")[0]
            if shard.is_file():
                shards.remove_loose(shard)  # killed between packing and this
            else:
                shards.pack(shard, [_sample(self.folder, record) for record in some])
            self._packed += len(some)

    def write_run_file(self) -> None:
        """Bring run.json up to date. Errors: OSError; the old one stays."""
        if not self._origin:
            self._origin = {
                "commit": provenance.commit(),
                "versions": provenance.versions(PACKAGES),
                "host": provenance.host(),
            }
        values: dict[str, object] = {
            "status": "finished" if self.finished else "unfinished",
            "configuration": self.configuration,
            **self._origin,
            "workers": self.workers,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds_before + monotonic() - self._started, 3),
            "pairs": len(self.records),
            "skipped": self.skipped,
            "still": self.still,
            "moving_since": self.moving_since,
            "complete": self.complete,
        }
        if self.truths:
            values["truth"] = {
                "unit": "PSNR in dB against the rendered true blur (simulated): encoded, float, 16 px border cut",
                "pairs": len(self.truths),
                **summary(self.truths),
            }
        files.write_json(self.folder / RUN_FILE, values)
        self._noted = monotonic()


def open_set(folder: Path, configuration: dict[str, object], *, resume: bool) -> PairSet:
    """Start a set, go on with an unfinished one, or verify a finished one (then `finished` is True: nothing to do).

    Errors: Refusal for a folder that is somebody else's, of another configuration, or unfinished without `resume`;
    Damage for a finished set that was changed, unless `resume` allows to make its damaged part again; OSError.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"{folder}: the output is a folder, and this is a file")
    state = _read_run_file(folder)
    if state is None:
        strangers = [path.name for path in folder.iterdir() if not files.is_leftover(path)] if folder.is_dir() else []
        if strangers:
            raise Refusal(f"{folder}: the folder is not empty and holds no set of pairs; choose another --out")
        files.remove_leftovers(folder)
        created = PairSet(folder=folder, configuration=configuration)
        created.write_run_file()
        return created
    different = differences(state["configuration"], configuration)
    if different:
        raise Refusal(
            f"{folder}: the pairs there are of another configuration ({'; '.join(different[:4])}); "
            "choose another --out or delete the folder"
        )
    finished = state["status"] == "finished"
    if not finished and not resume:
        raise Refusal(f"{folder}: the pairs there are unfinished; add --resume to go on, or delete the folder")
    if finished:
        damage = damages(folder, state["pairs"])
        if damage and not resume:
            raise Damage(f"{damage}; add --resume to make what is damaged again")
        if not damage:
            return _restored(folder, state, read_whole_lines(folder), finished=True)
    return _go_on(folder, state)


def damages(folder: Path, pairs: int) -> str:
    """One sentence about the first thing that is wrong with the files of a set of so many pairs; "" if nothing is."""
    records, damaged = whole_lines(folder)
    if damaged:
        return damaged
    if len(records) != pairs:
        return f"{folder / MANIFEST}: {len(records)} whole lines where {pairs} pairs were written"
    return next((problem for problem in (record.problem(folder) for record in records) if problem), "")


def verify(folder: Path) -> str:
    """Hash every image of a set again and compare; returns one sentence about it.

    Errors: Refusal if there is no set; Damage naming the first image that is missing or changed.
    """
    state = _read_run_file(Path(folder))
    if state is None:
        raise Refusal(f"{folder}: there is no set of pairs here (no {RUN_FILE})")
    finished = state["status"] == "finished"
    pairs = state["pairs"] if finished else len(read_whole_lines(folder))
    damage = damages(Path(folder), pairs)
    if damage:
        raise Damage(damage)
    if not finished:
        raise Damage(f"{folder}: the {pairs} pairs there are as they were written, but the set is unfinished")
    return f"{folder}: {pairs} pairs verified, every image is as it was written"


def run_values(folder: Path) -> dict:
    """What run.json of a set holds. Errors: Refusal if there is none."""
    state = _read_run_file(Path(folder))
    if state is None:
        raise Refusal(f"{folder}: there is no set of pairs here (no {RUN_FILE})")
    return state


def configuration_of(folder: Path) -> dict[str, object]:
    """The configuration a set was made with. Errors: Refusal if there is none."""
    return run_values(folder)["configuration"]


def _go_on(folder: Path, state: dict) -> PairSet:
    """Keep the pairs up to the first damaged one; everything after it is made again, with the same bytes."""
    files.remove_leftovers(folder)
    records = read_whole_lines(folder)
    truths = _read_truths(folder)
    good, compared = 0, state["configuration"].get("truth_known", True)
    for record in records:
        lost = compared and record.source.startswith("scene:") and record.key not in truths
        if lost or record.problem(folder):
            break
        good += 1
    kept = _restored(folder, state, records[:good], finished=False)
    # A clip that was noted as complete may miss pairs now.
    kept.complete = {sequence: clip for sequence, clip in kept.complete.items() if clip["pairs"] <= good}
    rewrite_manifest(folder, kept.records)
    if kept.truths or (folder / TRUTH_FILE).is_file():
        rewrite_lines(folder / TRUTH_FILE, [asdict(truth) for truth in kept.truths])
    if kept.shard_pairs:
        _open_last_shard(kept)
        kept.pack_full_shards()
    kept.write_run_file()
    return kept


def _open_last_shard(kept: PairSet) -> None:
    """Lay loose what is kept of the first shard that is not full, and delete that shard and all after it."""
    full = len(kept.records) // kept.shard_pairs
    last = kept.records[full * kept.shard_pairs :]
    names = {f"{path.name.partition('.')[0]}{shards.SUFFIX}" for path in kept.folder.glob(f"*-*{shards.SUFFIX}*")}
    for name in sorted(name for name in names if re.fullmatch(rf"\w+-\d{{1,18}}{re.escape(shards.SUFFIX)}", name)):
        if int(name.removesuffix(shards.SUFFIX).rpartition("-")[2]) >= full:
            wanted = [kept.folder / image for record in last for image in _images(record).values()]
            keep = [path for path in wanted if path.relative_to(kept.folder).parts[0] == name]
            shards.unpack(kept.folder / name, keep)
            if not keep:
                shards.remove_loose(kept.folder / name)


def _images(record: PairRecord) -> dict[str, str]:
    """Extension inside a shard -> path."""
    images = {"blur.png": record.blur, "sharp.png": record.sharp}
    return images | ({"blur_gamma.png": record.blur_gamma} if record.blur_gamma else {})


def _sample(folder: Path, record: PairRecord) -> tuple[str, dict[str, Path], dict[str, object]]:
    images = {extension: folder / name for extension, name in _images(record).items()}
    return record.key, images, manifest_values(record)


def _restored(folder: Path, state: dict, records: list[PairRecord], *, finished: bool) -> PairSet:
    truths = _read_truths(folder)
    return PairSet(
        folder=folder,
        configuration=state["configuration"],
        records=records,
        truths=[truths[record.key] for record in records if record.key in truths],
        skipped=state["skipped"],
        moving_since=state["moving_since"],
        complete=state["complete"],
        seconds_before=state["seconds"],
        finished=finished,
    )


@dataclass(frozen=True, kw_only=True)
class _Skip:
    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    sequence: Inside
    first_frame: Count
    last_frame: Count
    reason: Text
    frames: list[Count]


@dataclass(frozen=True, kw_only=True)
class _Complete:
    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    frames: Count
    pairs: Count
    problems: list[str]


@dataclass(frozen=True, kw_only=True)
class _RunFile:
    """What run.json of a set of pairs must hold; the rest is for people."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    status: Literal["finished", "unfinished"]
    configuration: dict[str, Any]
    pairs: Count
    skipped: list[_Skip]
    moving_since: dict[Inside, Count]
    complete: dict[Inside, _Complete]
    seconds: Annotated[float, Ge(0), Le(1e12)]


def _read_run_file(folder: Path) -> dict | None:
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        return schema.checked(_RunFile, path.read_bytes())
    except ValueError as error:
        raise Refusal(f"{path}: not the run.json of a set of pairs ({error}); choose another --out") from None


def _read_truths(folder: Path) -> dict[str, TruthRecord]:
    path = folder / TRUTH_FILE
    found = {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.is_file() else ():
        try:
            truth = TruthRecord(**schema.parse(line))
        except (ValueError, TypeError):
            continue
        if isinstance(truth.key, str) and all(type(getattr(truth, name)) is float for name in METHODS):
            found[truth.key] = truth
    return found
