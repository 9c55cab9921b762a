"""A page of pictures about a set of pairs: report.html in its folder, one file that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from core import files
from core.image_files import encode_jpeg, read_image
from synth.manifest import PairRecord
from synth.pair_set import PairSet
from synth.settings import SynthesisPlan

PAGE = "report.html"
SHOWN = 4
THUMB_PX = 420
FIGURES = {
    "blur_extent_px": "blur extent, px (95th percentile over the picture)",
    "ghost_score": "ghost score: share of pixels whose samples are more than 1 px apart",
    "flow_disagreement": "flow disagreement, levels of 255 (worst gap)",
    "sharp_blur": "blur of the sharp frame itself, 0 to 1",
    "saturated": "saturated share of the sharp frame",
}
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1200px;margin:24px auto;padding:0 16px;color:#222}"
    "figure{margin:0 0 18px}figcaption{font-size:13px;color:#555}.row{display:flex;gap:6px;flex-wrap:wrap}"
    ".row img{max-width:49%;height:auto}.charts{display:flex;flex-wrap:wrap;gap:18px}svg text{font:11px sans-serif}"
    "table{border-collapse:collapse}td{padding:2px 10px 2px 0;vertical-align:top}"
)


def write_page(plan: SynthesisPlan, pair_set: PairSet) -> Path:
    """Best, worst and rejected windows with their pictures, and histograms of the quality figures.

    Best and worst: by the error against the truth where it is known, else by how little the flow disagrees.
    Errors: OSError; the page is written in one step.
    """
    ordered, measure = _ordered(pair_set)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(pair_set.folder.name)}</title>"
        f"<style>{_STYLE}</style><h1>{len(pair_set.records)} pairs</h1>",
        _facts(plan, pair_set),
        "<h2>Figures</h2><div class=charts>",
        *(_histogram(pair_set.records, name, title) for name, title in FIGURES.items()),
        "</div>",
    ]
    for title, records in (("Best", ordered[:SHOWN]), ("Worst", ordered[: -SHOWN - 1 : -1])):
        parts.append(f"<h2>{title} pairs, by {html.escape(measure)}</h2>")
        parts += [_pair(pair_set, record) for record in records]
    parts.append(f"<h2>Rejected windows: {len(pair_set.skipped)}</h2>")
    parts += _rejected(plan, pair_set)
    path = pair_set.folder / PAGE
    files.write_bytes(path, "\n".join(parts).encode())
    return path


def _ordered(pair_set: PairSet) -> tuple[list[PairRecord], str]:
    if pair_set.truths:
        known = {truth.key: truth.synthesis for truth in pair_set.truths}
        with_truth = [record for record in pair_set.records if record.key in known]
        return sorted(with_truth, key=lambda record: -known[record.key]), "PSNR against the true blur (simulated)"
    told = [record for record in pair_set.records if record.flow_disagreement is not None]
    return sorted(told, key=lambda record: record.flow_disagreement or 0.0), "how little the flow disagrees"


def _facts(plan: SynthesisPlan, pair_set: PairSet) -> str:
    config = plan.config
    rows = {
        "sources": ", ".join(clip.source.location for clip in plan.clips),
        "interpolation": f"{config.interpolator}, {config.factor}x",
        "windows": f"{', '.join(map(str, config.windows))} captured frames",
        "recipe, response, camera": f"{config.recipe}, {config.response}, {config.camera}",
        "no motion at all": f"{pair_set.still} pairs",
    }
    cells = "".join(f"<tr><td>{html.escape(key)}<td>{html.escape(value)}" for key, value in rows.items())
    return f"<table>{cells}</table>"


def _pair(pair_set: PairSet, record: PairRecord) -> str:
    truth = next((truth for truth in pair_set.truths if truth.key == record.key), None)
    figures = [f"{name} {value:g}" for name in FIGURES if (value := getattr(record, name)) is not None]
    if truth is not None:
        figures.insert(0, f"{truth.synthesis:.2f} dB (trapezoid {truth.trapezoid:.2f})")
    pictures = _picture(read_image(record.blur_path(pair_set.folder)), "blur")
    pictures += _picture(read_image(record.sharp_path(pair_set.folder)), "sharp")
    caption = html.escape(f"{record.key}: {', '.join(figures)}")
    return f"<figure><div class=row>{pictures}</div><figcaption>{caption}</figcaption></figure>"


def _rejected(plan: SynthesisPlan, pair_set: PairSet) -> list[str]:
    """First and last frame of some rejected windows, read from their source again."""
    shown = []
    for skip in pair_set.skipped[:SHOWN]:
        clip = next(clip for clip in plan.clips if clip.sequence == skip["sequence"])
        first, last = int(str(skip["first_frame"])), int(str(skip["last_frame"]))
        pictures = ""
        for index, frame in enumerate(clip.source.frames(frozenset((first, last)).__contains__, [])):
            if frame is not None:
                pictures += _picture(frame, f"frame {index}")
            if index >= last:
                break
        why = {"cut": "scene cut", "frozen": "repeated frames"}.get(str(skip["reason"]), str(skip["reason"]))
        caption = html.escape(f"{clip.sequence}, frames {first} to {last}: {why} at {skip['frames']}")
        shown.append(f"<figure><div class=row>{pictures}</div><figcaption>{caption}</figcaption></figure>")
    return shown


def _picture(image: np.ndarray, text: str) -> str:
    scale = min(1.0, THUMB_PX / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    data = base64.b64encode(encode_jpeg(cv2.resize(image, size, interpolation=cv2.INTER_AREA))).decode()
    return f'<img alt="{html.escape(text)}" title="{html.escape(text)}" src="data:image/jpeg;base64,{data}">'


def _histogram(records: Sequence[PairRecord], name: str, title: str) -> str:
    """Twenty bars as SVG."""
    values = [float(value) for record in records if (value := getattr(record, name)) is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    counts, _ = np.histogram(values, bins=20, range=(low, high if high > low else low + 1))
    tallest = int(counts.max())
    heights = [90 * count / tallest for count in counts]
    bars = "".join(
        f'<rect x="{10 + 15 * index}" y="{110 - tall:.1f}" width="13" height="{tall:.1f}" fill="#4a78b5"/>'
        for index, tall in enumerate(heights)
    )
    return (
        f'<figure><svg width="330" height="130" role="img" aria-label="{html.escape(title)}">{bars}'
        f'<text x="10" y="124">{low:g}</text><text x="310" y="124" text-anchor="end">{high:g}</text>'
        f'<text x="10" y="14">at most {tallest} a bar, {len(values)} pairs</text></svg>'
        f"<figcaption>{html.escape(title)}</figcaption></figure>"
    )
