"""The page: one index.html with style, script and data inside, made of the files in templates/.

What the page holds: the tables with their provenance, per-image values as 16-bit steps, which images exist.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.results import PROTOCOLS, ComparisonRow, Row, ScoreRow
from reports.comparison import pareto_front
from reports.leaderboard import SIMULATED_NOTE, table_title
from reports.published import Published, elsewhere, gap_reasons, same_protocol
from reports.rows import (
    BLOCKS,
    PREFERENCE_NOTE,
    Table,
    blocks_of,
    measure,
    protocol_words,
    tables_of,
    train_test_matrix,
)

COSTS = {"ms_median": "latency", "params_m": "parameters", "macs_g": "MACs"}
UNKNOWN, INFINITE = 0xFFFF, 0xFFFE  # codes of a per-image value; the finite ones are 0 to STEPS
STEPS = 65000
PROVENANCE = (
    "method", "task", "params_m", "macs_g", "trained_on", "steps", "profile", "feature_net", "switches",
    "weights_sha256", "status", "commit", "command", "height", "width", "device", "threads", "ms_median",
    "ms_iqr", "peak_mb",
)  # fmt: skip


def page_data(
    scores: Sequence[ScoreRow],
    rows: Sequence[Row],
    comparisons: Sequence[ComparisonRow],
    published: Sequence[Published],
    images: Path,
) -> dict[str, Any]:
    """Everything that the page's script reads, ready for JSON. images: the folder images/ beside the page."""
    by_table: dict[Table, list[ScoreRow]] = defaultdict(list)
    for score in scores:
        by_table[score.testset, score.protocol].append(score)
    pairs: dict[Table, list[ComparisonRow]] = defaultdict(list)
    for line in comparisons:
        pairs[line.testset, line.protocol].append(line)
    tables, lines = train_test_matrix(rows)
    return {
        "metrics": {name: _metric(name) for name in dict.fromkeys(row.metric for row in rows)},
        "note": SIMULATED_NOTE.replace("*", "") if any(row.simulated for row in rows) else "",
        "study": PREFERENCE_NOTE if any(not measure(row.metric).of_images for row in rows) else "",
        "blocks": list(BLOCKS),
        "commits": list(dict.fromkeys(row.commit for row in rows if row.commit)),
        "tables": [
            _table(table, by_table[table], [r for r in rows if (r.testset, r.protocol) == table], pairs[table], images)
            | {"published": _published([r for r in rows if (r.testset, r.protocol) == table], published)}
            for table in tables_of(rows)
        ],
        "matrix": {
            "tables": [tables_of(rows).index(table) for table in tables],
            "lines": [[trained, method, [_cell(row) for row in cells]] for trained, method, cells in lines],
        },
    }


def packed(values: Iterable[float | None]) -> dict[str, Any]:
    """Values as steps of equal size between the least and the greatest: {"low", "step", "data": base64 of uint16}.

    UNKNOWN stands for None and INFINITE for infinity. The error is at most half a step: 0.0005 dB over 65 dB.
    """
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    low = float(finite.min()) if finite.size else 0.0
    step = (float(finite.max()) - low) / STEPS if finite.size and finite.max() > low else 1.0
    codes = np.full(numbers.shape, UNKNOWN, dtype="<u2")
    known = np.isfinite(numbers)
    codes[known] = np.round((numbers[known] - low) / step).astype("<u2")
    codes[np.isinf(numbers)] = INFINITE
    return {"low": low, "step": step, "data": base64.b64encode(codes.tobytes()).decode("ascii")}


def images_folder(testset: str, protocol: str) -> str:
    """The folder below images/ that holds what a protocol scored."""
    gamma = protocol in PROTOCOLS and PROTOCOLS[protocol].blur_variant == "blur_gamma"
    return f"{testset}-gamma" if gamma else testset


def existing_images(home: Path) -> dict[str, set[str]]:
    """Method, "_blur" or "_sharp" -> keys of the images kept in a folder below images/."""
    folders = sorted(path for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
    return {folder.name: _pngs(folder) for folder in folders}


def sorted_keys(scores: Sequence[ScoreRow], kept: Mapping[str, set[str]]) -> list[str]:
    """Keys of a table in their order on the page: by folder, then by name; unscored: those of the images."""
    keys = {score.key for score in scores} or set().union(*kept.values())
    return sorted(keys, key=lambda key: key.rpartition("/"))


def _bits(keys: Sequence[str], kept: Mapping[str, set[str]]) -> dict[str, bool | str]:
    """Method -> true where every key has an image, else base64 of one bit per key, the lowest first."""
    have: dict[str, bool | str] = {}
    for name, found in kept.items():
        bits = np.array([key in found for key in keys], dtype=bool)
        if bits.any():
            text = base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode("ascii")
            have[name] = True if bits.all() else text
    return have


def _pngs(folder: Path) -> set[str]:
    """Keys of the PNG files of a method's folder."""
    found: set[str] = set()
    for place, _, names in os.walk(folder):
        start = Path(place).relative_to(folder).as_posix()
        prefix = "" if start == "." else start + "/"
        found.update(prefix + name[:-4] for name in names if name.endswith(".png"))
    return found


def _metric(name: str) -> dict[str, Any]:
    entry = measure(name)
    facts = {"title": entry.title, "unit": entry.unit, "up": entry.higher_is_better, "digits": entry.digits}
    return facts if entry.of_images else facts | {"study": True}


def _table(
    table: Table, scores: Sequence[ScoreRow], rows: Sequence[Row], pairs: Sequence[ComparisonRow], images: Path
) -> dict[str, Any]:
    testset, protocol = table
    known = PROTOCOLS.get(protocol)
    metrics = list(dict.fromkeys(row.metric for row in rows))
    folder = images_folder(testset, protocol)
    kept = existing_images(images / folder)
    keys = sorted_keys(scores, kept)
    folders: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        place, _, name = key.rpartition("/")
        folders[place].append(name)
    return {
        "testset": testset,
        "protocol": protocol,
        "title": table_title(rows[0]),
        "simulated": any(row.simulated for row in rows),
        "words": protocol_words(protocol),
        "source": known.source if known else "",
        "metrics": metrics,
        "rows": _methods(rows),
        "keys": list(folders.items()),
        "images": {"folder": f"images/{folder}", "have": _bits(keys, kept)},
        "values": {metric: _values(scores, metric, keys) for metric in metrics},
        "pairs": {metric: [_pair(line) for line in pairs if line.metric == metric] for metric in metrics},
        "fronts": {metric: _fronts(rows, metric) for metric in metrics},
    }


def _methods(rows: Sequence[Row]) -> list[dict[str, Any]]:
    methods: dict[str, dict[str, Any]] = {}
    blocks = blocks_of(rows)
    for row in rows:
        known = {name: value for name in PROVENANCE if (value := getattr(row, name)) not in (None, "")}
        entry = methods.setdefault(row.method, {**known, "block": blocks[row.method], "figures": {}})
        entry["figures"][row.metric] = {
            "value": _number(row.value),
            "low": _number(row.ci95_low),
            "high": _number(row.ci95_high),
            "count": row.count,
            "shares": row.shares_first_place,
            "missing": row.missing,
        } | ({} if row.votes is None else {"votes": row.votes})
    return list(methods.values())


def _values(scores: Sequence[ScoreRow], metric: str, keys: Sequence[str]) -> dict[str, Any]:
    """Per-image values of a metric: packed, one method after another, in the order of the keys."""
    by_method: dict[str, dict[str, float]] = defaultdict(dict)
    for score in scores:
        if score.metric == metric:
            by_method[score.method][score.key] = score.value
    return {"methods": list(by_method), **packed(some.get(key) for some in by_method.values() for key in keys)}


def _pair(line: ComparisonRow) -> list[Any]:
    short = [_short(number) for number in (line.difference, line.ci95_low, line.ci95_high, line.holm_p)]
    return [line.method, line.other, line.images, line.wins, line.ties, line.losses, *short, line.differs]


def _fronts(rows: Sequence[Row], metric: str) -> dict[str, list[str]]:
    """Cost -> the methods on the Pareto front of the metric against it."""
    here = [row for row in rows if row.metric == metric and row.value is not None]
    fronts = {}
    for cost in COSTS:
        points = {row.method: (float(x), row.value) for row in here if (x := getattr(row, cost)) is not None}
        fronts[cost] = pareto_front(points, measure(metric).higher_is_better)  # type: ignore[arg-type]
    return fronts


def _published(rows: Sequence[Row], published: Sequence[Published]) -> list[dict[str, Any]]:
    """Published figures of a table's methods: beside ours with the known reasons, and apart with the difference."""
    same = same_protocol(published)
    main = rows[0].metric
    found = []
    for row in (row for row in rows if measure(row.metric).of_images):
        beside = same.get((row.method, row.protocol, row.metric))
        apart = elsewhere(published, row.method, row.testset, row.protocol, row.metric, main=row.metric == main)
        if beside or apart:
            found.append(
                {
                    "method": row.method,
                    "metric": row.metric,
                    "value": beside.value if beside else None,
                    "source": beside.source if beside else "",
                    "reasons": gap_reasons(row, row.simulated, beside.known_gap) if beside else [],
                    "elsewhere": [[entry.value, entry.metric, words, entry.source] for entry, words in apart],
                }
            )
    return found


def _cell(row: Row | None) -> Any:
    return None if row is None else _number(row.value)


def _number(value: float | None) -> float | str | None:
    """For JSON, which knows no infinity; six decimals are more than any table shows."""
    if value is None:
        return None
    return round(value, 6) if math.isfinite(value) else "inf"


def _short(value: float | None) -> float | str | None:
    """Four significant digits, enough for a hint."""
    if value is None:
        return None
    return float(f"{value:.4g}") if math.isfinite(value) else "inf"


TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = ("core.js", "hints.js", "table.js", "charts.js", "pairs.js", "images.js", "viewer.js", "main.js")


def page(data: dict[str, Any]) -> str:
    """The HTML of the page. It asks for nothing from a network: images are relative files beside it."""
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "style": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "script": f'(() => {{\n"use strict";\n{script}}})();',
        "data": text.replace("<", "\\u003c"),  # no text of ours may end the script element
    }
    html = (TEMPLATES / "page.html").read_text(encoding="utf-8")
    for name, content in parts.items():
        before, mark, after = html.partition(f"@@{name}@@")
        html = before + content + after if mark else html
    return html


def place_images(source: Path, target: Path) -> None:
    """Make images/ stand beside the page: as hard links where the disk allows, so that they take no room, else copies.

    Only PNG files: a study's votes.sqlite may lie among them, and a database must never have two names.
    Nothing is done where both folders are one. Files that are there are replaced only when they differ in size or date.
    """
    if not source.is_dir() or source.resolve() == target.resolve():
        return
    for place, _, names in os.walk(source):
        home = target / Path(place).relative_to(source)
        home.mkdir(parents=True, exist_ok=True)
        for name in names:
            if name.endswith(".png") and not name.startswith("."):
                _place(Path(place) / name, home / name)


def _place(source: Path, target: Path) -> None:
    if target.exists():
        ours, theirs = source.stat(), target.stat()
        if (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns):
            return
        target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
