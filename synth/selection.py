"""A set made of some pairs of another, chosen by the figures of the quality gate or any other key of the manifest."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from core import files, shards
from synth.conditions import condition
from synth.manifest import PairRecord, read_manifest
from synth.pair_set import Refusal, open_set, run_values


def select(folder: Path, where: str, out: Path) -> str:
    """Make the set `out` of the pairs in `folder` for which `where` holds; returns one sentence about it.

    where: a condition on the manifest's keys (synth/conditions.py), such as
    "ghost_score < 0.05 and 2 < blur_extent_px < 40 and not still". Images in folders become hard links where the file
    system can, else copies; those in shards are laid out in folders.
    Errors: Refusal for a condition that cannot be evaluated, that no pair meets, or an output folder that is taken;
    ValueError if there is no set; OSError.
    """
    folder, out = Path(folder), Path(out)
    records = read_manifest(folder)
    chosen = [record for record, kept in zip(records, _mask(records, where), strict=True) if kept]
    if not chosen:
        raise Refusal(f"no pair of the {len(records)} in {folder} meets {where!r}; nothing was written")
    values = run_values(folder)
    configuration = values["configuration"] | {"selected_from": folder.resolve().as_posix(), "selected_where": where}
    if configuration.get("layout") == "webdataset":
        configuration["layout"] = "flat"  # what is left of shards lies in folders
    selected = open_set(out, configuration, resume=True)
    if not selected.finished:
        for record in chosen[len(selected.records) :]:
            selected.take(_loose(folder, record, out))
        selected.finish()
    return f"{out}: {len(chosen)} of {len(records)} pairs, those with {where}"


def _mask(records: list[PairRecord], where: str) -> list[bool]:
    try:
        meets = condition(where, KEYS)
    except ValueError as error:
        raise Refusal(
            f"--where {where[:200]!r} cannot be evaluated ({error}); it is a condition such as "
            f'"ghost_score < 0.05 and not still" on {", ".join(KEYS)}'
        ) from None
    return [meets(asdict(record)) for record in records]


def _kind(hint: object) -> type:
    """bool, float, str, list or dict: what a key of the manifest holds, told from its annotation."""
    inner = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) in (Union, UnionType) and len(inner) == 1:
        return _kind(inner[0])
    if get_origin(hint) is Literal:
        return _kind(type(inner[0]))
    kind = get_origin(hint) or hint
    return float if kind in (int, float) else kind if isinstance(kind, type) else str


KEYS = {item.name: _kind(get_type_hints(PairRecord)[item.name]) for item in fields(PairRecord)}


def _loose(folder: Path, record: PairRecord, out: Path) -> PairRecord:
    """Bring a pair's images to `out`; returns its record there."""
    names = [record.blur, record.sharp, *([record.blur_gamma] if record.blur_gamma else [])]
    for name in names:
        source, target = folder / name, out / shards.member_of(name)
        if shards.inside_shard(source):
            files.write_bytes(target, shards.read_bytes(source))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
        os.replace(part, target)
        part.unlink(missing_ok=True)  # replacing a link by another one to the same file leaves it
    return replace(
        record,
        blur=shards.member_of(record.blur),
        sharp=shards.member_of(record.sharp),
        blur_gamma=shards.member_of(record.blur_gamma),
    )
