"""Pictures of the results: a contact sheet per test set and the strip blur | restored | sharp."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BLUR, SHARP = "_blur", "_sharp"  # folders beside the methods' with the input and the truth of the sheet's keys
ROWS = 3
CELL_WIDTH_PX = 300
CROP_SHARE = 0.42  # side of the zoomed crop, in parts of the image's shorter side
MARGIN_PX, LABEL_PX = 8, 24
BACKGROUND, INK, FRAME = (250, 250, 250), (25, 25, 25), (230, 60, 40)


def sheet(folder: Path, methods: Sequence[str], title: str, captions: Mapping[tuple[str, str], str]) -> bytes | None:
    """PNG of a contact sheet: columns blur, methods, sharp; below each image a crop of it, enlarged.

    folder: images/<test set>/. captions: (method, key) -> text under the image; the blurred input is "identity".
    Returns None where no input images were kept. Errors: OSError for an unreadable image.
    """
    keys = sheet_keys(folder)
    if not keys:
        return None
    columns = [BLUR, *(name for name in methods if name != "identity" and (folder / name).is_dir())]
    if (folder / SHARP).is_dir():
        columns.append(SHARP)
    rows = [_row(folder, columns, key, captions) for key in keys]
    width, height = max(row.width for row in rows), sum(row.height for row in rows)
    canvas = Image.new("RGB", (width, height + LABEL_PX + 2 * MARGIN_PX), BACKGROUND)
    ImageDraw.Draw(canvas).text((MARGIN_PX, MARGIN_PX), title, fill=INK, font=_font(17))
    top = LABEL_PX + 2 * MARGIN_PX
    for row in rows:
        canvas.paste(row, (0, top))
        top += row.height
    return _png(canvas)


def strip(
    folder: Path, method: str, key: str | None = None, labels: tuple[str, str, str] | None = None
) -> bytes | None:
    """PNG: blur | restored by `method` | sharp of one key, each with a label. None where one of them is missing."""
    keys = [key] if key else sheet_keys(folder)
    if not keys:
        return None
    files = [
        (label, folder / name / f"{keys[0]}.png")
        for label, name in zip(labels or ("blur", method, "sharp"), (BLUR, method, SHARP), strict=True)
    ]
    if not all(path.is_file() for _, path in files):
        return None
    images = [_fitted(Image.open(path).convert("RGB"), 400) for _, path in files]
    canvas = Image.new("RGB", (sum(im.width for im in images) + 2 * MARGIN_PX, images[0].height + LABEL_PX), BACKGROUND)
    left = 0
    for (label, _), image in zip(files, images, strict=True):
        _text(canvas, left + image.width // 2, 2, label, 16)
        canvas.paste(image, (left, LABEL_PX))
        left += image.width + MARGIN_PX
    return _png(canvas)


def sheet_keys(folder: Path) -> list[str]:
    """Keys whose input images were kept for the sheet, at most ROWS."""
    root = folder / BLUR
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.png"))[:ROWS]


def detail_box(image: np.ndarray, side: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the square of `side` px with the strongest gradients. Shape: [H, W, 3] uint8."""
    luma = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    gradient_y, gradient_x = np.gradient(luma)
    # Square root: many edges count for more than one strong one.
    energy = np.sqrt(np.hypot(gradient_x, gradient_y))
    total = np.pad(energy.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(left), int(top), int(left) + side, int(top) + side


def _row(folder: Path, columns: Sequence[str], key: str, captions: Mapping[tuple[str, str], str]) -> Image.Image:
    images = {
        name: Image.open(path).convert("RGB") for name in columns if (path := folder / name / f"{key}.png").is_file()
    }
    guide = images.get(SHARP, images[BLUR])
    width, height = guide.size
    box = detail_box(np.asarray(guide), max(8, round(min(width, height) * CROP_SHARE)))
    cell_height = round(CELL_WIDTH_PX * height / width)
    row_height = 2 * LABEL_PX + cell_height + CELL_WIDTH_PX + 3 * MARGIN_PX
    canvas = Image.new("RGB", (len(columns) * (CELL_WIDTH_PX + MARGIN_PX) + MARGIN_PX, row_height), BACKGROUND)
    for column, name in enumerate(columns):
        left, top = MARGIN_PX + column * (CELL_WIDTH_PX + MARGIN_PX), 0
        label = {BLUR: "blur", SHARP: "sharp"}.get(name, name)
        _text(canvas, left + CELL_WIDTH_PX // 2, top, label, 16)
        image = images.get(name)
        if image is None:
            _text(canvas, left + CELL_WIDTH_PX // 2, top + LABEL_PX + 20, "no image", 14)
            continue
        marked = image.resize((CELL_WIDTH_PX, cell_height), Image.Resampling.LANCZOS)
        scale = CELL_WIDTH_PX / width
        ImageDraw.Draw(marked).rectangle([round(edge * scale) for edge in box], outline=FRAME, width=2)
        canvas.paste(marked, (left, top + LABEL_PX))
        crop = image.crop(box).resize((CELL_WIDTH_PX, CELL_WIDTH_PX), Image.Resampling.BICUBIC)
        canvas.paste(crop, (left, top + LABEL_PX + cell_height + MARGIN_PX))
        caption = captions.get(("identity" if name == BLUR else name, key), "")
        _text(
            canvas, left + CELL_WIDTH_PX // 2, top + LABEL_PX + cell_height + CELL_WIDTH_PX + MARGIN_PX + 2, caption, 14
        )
    return canvas


def _fitted(image: Image.Image, width: int) -> Image.Image:
    return image.resize((width, round(width * image.height / image.width)), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)


def _text(canvas: Image.Image, centre: int, top: int, text: str, size: int) -> None:
    ImageDraw.Draw(canvas).text((centre, top), text, fill=INK, font=_font(size), anchor="ma")


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, format="PNG", optimize=False)
    return data.getvalue()
