"""The page: one index.html with style, script and data inside, made of the files in templates/."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

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
