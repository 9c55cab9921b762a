"""The output folder's memory: run.json, what is done, and the tables that grow with every finished method."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from benchmark.plan import RunConfig
from benchmark.results import CostRow, MethodRow, ScoreRow, read_rows, write_rows
from benchmark.testsets import TESTSETS
from core import files, provenance, schema
from core.schema import Digest, Inside, Name

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "lpips", "joblib", "opencv-python")
RUN, SCORES, METHODS, COST = "run.json", "scores.csv", "methods.csv", "cost.csv"

ADDED: dict[str, Any] = {
    "switches": [],
    "tile": None,
}  # what a run without these was: folders from before they existed can go on

Triple = tuple[str, str, str]  # method, test set, protocol


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What run.json of a benchmark must hold; the rest is for people."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    status: Literal["unfinished", "finished", "failed"]
    methods: list[Name]
    configuration: dict[str, Any]
    done: list[Annotated[list[Name], MinLen(3), MaxLen(3)]]
    threads: Annotated[int, Ge(1), Le(4096)]
    files: dict[Inside, Digest] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Images:
    """What restored.json must hold: the sha256 of every image by its key."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    source: str
    images: dict[Inside, Digest]


def read_run(out: Path) -> dict[str, Any] | None:
    """What run.json of an output folder says, None for a new folder.

    Errors: ValueError if the folder holds results without a readable run.json.
    """
    path = out / RUN
    try:
        return schema.checked(_Run, path.read_bytes())
    except FileNotFoundError:
        if (out / SCORES).exists():
            raise ValueError(f"{out} holds a {SCORES} but no {RUN}; choose another --out or remove it") from None
        return None
    except ValueError as error:
        raise ValueError(
            f"{path} is not that of a benchmark run ({error}); choose another --out or remove the folder"
        ) from None


def compare(stored: dict[str, Any], configuration: dict[str, Any], out: Path, methods: Sequence[str]) -> None:
    """Errors: ValueError that names the first difference between the folder's configuration and this one.

    Test sets and pairs count only where both have them, weights only for methods that both have.
    """
    before = stored["configuration"]
    for name, value in configuration.items():
        old = before.get(name, ADDED.get(name))
        if name in ("test_sets", "pairs_sha256"):
            what = {"test_sets": "test set", "pairs_sha256": "sha256 of the pairs in"}[name]
            pairs = [(f"{what} {key}", old[key], value[key]) for key in value if key in (old or {})]
        elif name == "weights":
            known = [key for key in methods if key in stored["methods"]]
            pairs = [(f"weights of {key}", old.get(key), value.get(key)) for key in known]
        else:
            pairs = [(name.replace("_", "-"), old, value)]
        for what, was, now in pairs:
            if was != now:
                raise ValueError(
                    f"{out} holds results of another configuration: {what} was {was!r} and is {now!r} now; "
                    "choose another --out"
                )


def begin(
    out: Path, stored: dict[str, Any] | None, config: RunConfig, configuration: dict[str, Any], threads: int
) -> dict:
    """Write run.json of a run that starts (or goes on) and return it."""
    names = [method.name for method in config.methods]
    old = stored or {"methods": [], "done": [], "configuration": {}}
    merged = dict(configuration)
    for name in ("weights", "test_sets", "pairs_sha256"):
        merged[name] = {**old["configuration"].get(name, {}), **configuration[name]}
    run = {
        "status": "unfinished",
        "methods": list(dict.fromkeys([*old["methods"], *names])),
        "configuration": merged,
        "done": old["done"],
        "threads": old.get("threads", threads),
        "commit": provenance.commit(),
        "versions": provenance.versions(PACKAGES),
        "host": {"machine": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": old.get("seconds", {}),
    }
    files.write_json(out / RUN, run)
    return run


def finish(out: Path, run: dict[str, Any], failed: bool) -> None:
    """Mark a run as finished, with the sha256 of its files. "failed": it went to its end, with failed items."""
    run["status"] = "failed" if failed else "finished"
    kept = [out / name for name in TABLES if (out / name).is_file()]
    kept += sorted(path for path in (out / "parts").rglob("*.json"))
    kept += sorted(path for name in ("_blur", "_sharp") for path in (out / "images").glob(f"*/{name}/**/*.png"))
    run["files"] = {path.relative_to(out).as_posix(): files.sha256_of(path) for path in kept}
    run["ended"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    files.write_json(out / RUN, run)


TABLES = (SCORES, METHODS, COST)
REPORT = ("leaderboard.csv", "leaderboard.md", "leaderboard.tex", "comparisons.csv", "index.html")


def tables_digest(out: Path) -> dict[str, str]:
    """sha256 of the tables that a report is made of."""
    return {name: files.sha256_of(out / name) for name in TABLES if (out / name).is_file()}


def report_digest(out: Path) -> dict[str, str]:
    """sha256 of the files of a report that are there."""
    there = [out / name for name in REPORT if (out / name).is_file()]
    return {path.name: files.sha256_of(path) for path in [*there, *sorted(out.glob("contact-*.png"))]}


def has_report(out: Path, run: dict[str, Any]) -> bool:
    """Whether the report is there as it was made, of the tables as they are: a run may be killed while it is built."""
    if run.get("reported") != tables_digest(out) or not all((out / name).is_file() for name in REPORT):
        return False
    return run.get("report", report_digest(out)) == report_digest(out)  # older ones did not remember it


def note_report(out: Path) -> None:
    """Remember in run.json which tables the report was made of, and its files."""
    run = read_run(out)
    noted = {"reported": tables_digest(out), "report": report_digest(out)}
    if run is not None and {**run, **noted} != run:
        files.write_json(out / RUN, {**run, **noted})


def merge(
    out: Path, run: dict[str, Any], triples: Iterable[Triple], scores: list[ScoreRow], methods: list[MethodRow]
) -> None:
    """Put the rows of `triples` into scores.csv and methods.csv in canonical order; other rows stay as they are.

    Order: methods as asked, test sets and protocols as registered; metrics and keys as they come.
    """
    replaced = set(triples)
    old_scores = read_rows(out / SCORES, ScoreRow) if (out / SCORES).is_file() else []
    old_methods = read_rows(out / METHODS, MethodRow) if (out / METHODS).is_file() else []
    place = {name: index for index, name in enumerate(run["methods"])}
    protocols = [(entry.name, protocol) for entry in TESTSETS.values() for protocol in entry.protocols]
    order = {pair: index for index, pair in enumerate(protocols)}

    def position(row: ScoreRow | MethodRow) -> tuple[int, int]:
        return place.get(row.method, len(place)), order.get((row.testset, row.protocol), len(order))

    def kept(row: ScoreRow | MethodRow) -> bool:
        return (row.method, row.testset, row.protocol) not in replaced

    write_rows(out / SCORES, ScoreRow, sorted([*filter(kept, old_scores), *scores], key=position))
    write_rows(out / METHODS, MethodRow, sorted([*filter(kept, old_methods), *methods], key=position))


def merge_costs(out: Path, run: dict[str, Any], new: Sequence[CostRow]) -> None:
    """Add rows to cost.csv; a method measured before keeps its row unless a new one is given."""
    old = read_rows(out / COST, CostRow) if (out / COST).is_file() else []
    rows = {row.method: row for row in [*old, *new]}
    place = {name: index for index, name in enumerate(run["methods"])}
    write_rows(out / COST, CostRow, sorted(rows.values(), key=lambda row: place.get(row.method, len(place))))


def damage(out: Path, run: dict[str, Any], *, images: bool = True) -> dict[Path, str]:
    """The files of a finished run that are missing or were changed, each with its sentence.

    images: look at the methods' images, too.
    """
    recorded = {out / name: digest for name, digest in run.get("files", {}).items()}
    found: dict[Path, str] = {}
    for path in sorted((out / "parts").glob("*/*/restored.json")) if images else ():
        try:
            record = schema.checked(_Images, path.read_bytes())
        except ValueError as error:
            found[path] = f"{path} was changed after it was written ({error})"
            continue
        home = out / "images" / path.parent.name / path.parent.parent.name
        recorded |= {home / f"{key}.png": digest for key, digest in record["images"].items()}
    for path, digest in recorded.items():
        if not path.is_file():
            found[path] = f"{path} is missing"
        elif files.sha256_of(path) != digest:
            found.setdefault(path, f"{path} was changed after it was written")
    return found


def discard(out: Path, run: dict[str, Any], damaged: Iterable[Path]) -> list[str]:
    """Remove damaged tables and records, which would be believed otherwise, so that they are made again.

    Without a table nothing counts as done: returns the methods whose rows are gone. Images stay: a record tells that
    they are others.
    """
    paths = set(damaged)
    if tables := paths & {out / name for name in TABLES}:
        paths |= {out / name for name in TABLES}
    for path in paths:
        if path in tables or path.parent == out or path.is_relative_to(out / "parts"):
            path.unlink(missing_ok=True)
    if not tables:
        return []
    gone, run["methods"], run["done"] = run["methods"], [], []
    return gone
