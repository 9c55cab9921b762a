"""Pairs of one's own as a test set: a set that make_pairs.py made, or blurred and sharp images in folders."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmark.protocols import EvalProtocol
from benchmark.testsets.base import Clip, ListedTestSet, Sample, TestSet, TestSetEntry, some, whole_clip
from core import schema, shards
from core.pair_folders import find_pairs
from synth.manifest import MANIFEST, PairRecord, read_manifest

# Names of official data sets; what lies in them is not somebody's own.
OFFICIAL: tuple[str, ...] = (
    "GOPRO_Large", "GoPro", "GOPRO", "HIDE_dataset", "HIDE", "DeepVideoDeblurring_Dataset", "REDS", "RSBlur", "Kohler",
    "Lai", "RealBlur", "test/GoPro", "test/HIDE", "quantitative_datasets",
)  # fmt: skip
RENDERED = ("scene:", "photograph:")  # beginnings of sources whose blur no camera recorded


def find(data_root: Path) -> Path | None:
    """`data_root` itself or `data_root`/pairs, whichever holds a manifest or pairs in folders, or None.

    Folders: blur/ and sharp/ in the arrangements of core/pair_folders.py, unless a known data set lies there.
    """
    places = (data_root, data_root / "pairs")
    made = next((folder for folder in places if (folder / MANIFEST).is_file()), None)
    if made is not None:
        return made
    return next((folder for folder in places if _holds_pairs(folder)), None)


def _holds_pairs(folder: Path) -> bool:
    if not folder.is_dir() or folder.resolve().name in OFFICIAL or any((folder / name).is_dir() for name in OFFICIAL):
        return False
    try:
        return find_pairs(folder) is not None
    except ValueError:
        return True  # pairs with something wrong, which is said where they are opened


def problems(folder: Path) -> list[str]:
    """Sentences about an unfinished set and missing images; empty if all is there."""
    found = []
    if not (folder / MANIFEST).is_file():
        try:
            own = find_pairs(folder)
        except ValueError as error:
            return [str(error)]
        lonely = [path.relative_to(folder).as_posix() for path in own.lonely] if own else []
        return [f"{folder}: {some(lonely)} without the other image of the pair"] if lonely else []
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
    if not (folder / MANIFEST).is_file():
        return ListedTestSet(
            name="pairs",
            title=f"Pairs {folder.resolve().name}",
            simulated=False,
            protocol=protocol,
            images_folder="pairs",
            list_clips=partial(_own_clips, folder),
            folder=folder,
        )
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


def _own_clips(folder: Path) -> tuple[Clip, ...]:
    """A clip of every sequence of pairs in folders: of the test half where there is one, else of all.

    Errors: ValueError, one sentence.
    """
    own = find_pairs(folder)
    clips: dict[str, list[Sample]] = {}
    for pair in own.of("test", "val", "", "train") if own else ():
        clips.setdefault(pair.sequence, []).append(Sample(key=pair.key, blur=pair.blur, references=(pair.sharp,)))
    return tuple(whole_clip(name, tuple(samples)) for name, samples in clips.items())


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
    source="synth/make_pairs.py, or one's own",
    licence="that of the footage",
    protocols=("pairs",),
    find=find,
    folders=(MANIFEST, "blur and sharp", "input and target"),
    problems=problems,
    open=open_pairs,
)
