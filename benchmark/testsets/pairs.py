"""Pairs that make_pairs.py made, as a test set: somebody's own footage, or photographs with rendered blur."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import Clip, ListedTestSet, Sample, TestSet, TestSetEntry, some, whole_clip
from core import schema, shards
from synth.manifest import MANIFEST, PairRecord, read_manifest

RENDERED = ("scene:", "photograph:")  # beginnings of sources whose blur no camera recorded


def find(data_root: Path) -> Path | None:
    """`data_root` itself or `data_root`/pairs, whichever holds a manifest, or None."""
    return next((folder for folder in (data_root, data_root / "pairs") if (folder / MANIFEST).is_file()), None)


def problems(folder: Path) -> list[str]:
    """Sentences about an unfinished set and missing images; empty if all is there."""
    found = []
    try:
        if schema.parse((folder / "run.json").read_text(encoding="utf-8"))["status"] != "finished":
            found.append(f"{folder}: the set is unfinished; go on with make_pairs.py --resume")
    except (OSError, ValueError, KeyError, TypeError):
        found.append(f"{folder}: there is no run.json, so nobody knows whether the set is whole")
    records = read_manifest(folder)
    missing = [
        str(path)
        for record in records
        for path in (record.blur_path(folder), record.sharp_path(folder))
        if not shards.exists(path)
    ]
    return [*found, f"{folder}: {some(missing)} missing"] if missing else found


def open_pairs(folder: Path, protocol: EvalProtocol, simulated: bool) -> TestSet:
    """The test set. Keys: `<sequence>/<key>`; of photographs `<photograph>/<key>`, so that its blurs are one cluster.

    It is called after its folder, and simulated if any of its sources was rendered.
    """
    records = read_manifest(folder)
    rendered = simulated or any(record.source.startswith(RENDERED) for record in records)
    return ListedTestSet(
        name="pairs",
        title=f"Pairs {folder.resolve().name}" + (" (simulated)" if rendered else ""),
        simulated=rendered,
        protocol=protocol,
        images_folder="pairs",
        list_clips=partial(_clips, folder, records),
        folder=folder,
    )


def _clips(folder: Path, records: list[PairRecord]) -> tuple[Clip, ...]:
    """A clip of every sequence, in the order of time. Errors: ValueError for pairs in shards."""
    if any(shards.inside_shard(record.blur_path(folder)) for record in records):
        raise ValueError(
            f"{folder}: the pairs are in shards; lay them out in folders with make_pairs.py select {folder} --where "
            '"bits > 0" --out DIR'
        )
    clips: dict[str, list[PairRecord]] = {}
    for record in records:
        clips.setdefault(record.sequence, []).append(record)
    return tuple(
        whole_clip(
            sequence,
            tuple(
                Sample(
                    key=f"{_cluster(record)}/{record.key.rpartition('/')[2]}",
                    blur=record.blur_path(folder),
                    references=(record.sharp_path(folder),),
                )
                for record in sorted(found, key=lambda record: record.centre_s)
            ),
        )
        for sequence, found in clips.items()
    )


def _cluster(record: PairRecord) -> str:
    """What is drawn together for intervals: a clip, or all blurs of a photograph (whose sequences are NAME-NUMBER)."""
    return record.sequence.rpartition("-")[0] if record.source.startswith("photograph:") else record.sequence


ENTRY = TestSetEntry(
    name="pairs",
    title="Pairs",
    source="synth/make_pairs.py",
    licence="that of the footage",
    protocols=("pairs",),
    find=find,
    problems=problems,
    open=open_pairs,
)
