"""Score restored images: `python benchmark/score.py RESTORED SHARP --protocol ID --metrics ID,... --json`."""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings as python_warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # run as a file: the repository's root in place of this folder, which would hide packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import numpy as np

from benchmark.evaluation import find_metrics, missing_metrics, score_image
from benchmark.matching import Matching, ScoreItem, match
from benchmark.metrics import METRICS
from benchmark.protocols import PROTOCOLS, EvalProtocol, pooled
from benchmark.scoring import ScoreJob, hand_over_identity, score_jobs
from benchmark.testsets.base import some
from core.command_line import Parser, complain, listed, run, unknown
from core.progress import bar
from core.python_use import as_float, make_callable
from core.weights_files import set_weights_dir

TABLE_ROWS = 20  # without --json longer lists show only their mean
EPILOG = """\
RESTORED and SHARP are two files or two folders. Files are paired by their path below the folder without suffix; GoPro's
<sequence>/sharp/<frame> and DVD's <sequence>/GT/<frame> are understood. Protocol kohler: RESTORED is one image and
SHARP a folder with its trajectory frames, or RESTORED holds images whose names end in {p}_{k} (Blurry1_1.png) and SHARP
is the Kohler folder with Image{p}/Kernel{k}/GroundTruth{p}_{k}_{f}.png. lai-synthetic: the sharp image's name is the
beginning of the restored one's. RealBlur, RSBlur: SHARP may be the official folder, results are called
scene001_blur_1 or 0001_000001 (or lie as in that folder). lai-real takes no SHARP.

--json prints {"protocol", "metrics": {id: mean}, "count", "images": {key: {id: value}}, "missing": {id: sentence},
"failed": {key: sentence}, "unmatched": {"restored": [...], "sharp": [...]}}, and "lost": {key: {id: sentence}} where an
image is, say, too small for a metric; an infinite PSNR is the text "inf", since JSON has no infinity. A metric whose
weights are missing is left out with a warning.
Exit code: 0; 1 if an image failed or a restored image has no sharp one (the others are scored); 2 for bad arguments.
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(_parser(), _score, argv, refusals=(OSError,))


def _score(arguments: argparse.Namespace) -> int:
    protocol = PROTOCOLS[arguments.protocol]
    if arguments.one_based and protocol.frames == "su30":
        protocol = replace(protocol, frames="su30-one-based")
    metric_ids = listed(arguments.metrics) or list(protocol.metrics)
    find_metrics(metric_ids, protocol)
    set_weights_dir(arguments.weights_dir)
    hand_over_identity(arguments.weights_dir)
    if arguments.workers < 1:
        raise ValueError(f"--workers is a number from 1 up, got {arguments.workers}")
    matching = match(arguments.restored, arguments.sharp, protocol)
    missing = missing_metrics(metric_ids, [item.restored for item in matching.items])
    images, failed, lost = score_items(
        matching.items,
        protocol,
        [name for name in metric_ids if name not in missing],
        workers=arguments.workers,
        weights_dir=arguments.weights_dir,
    )
    report = build_report(protocol, images, missing, failed, matching, lost)
    for sentence in warnings(report):
        complain("score.py", sentence)
    print(json.dumps(report, indent=2, ensure_ascii=False) if arguments.json else table(report))
    return 1 if failed or matching.without_sharp else 0


def score_items(
    items: Sequence[ScoreItem],
    protocol: EvalProtocol,
    metric_ids: Sequence[str],
    workers: int,
    weights_dir: Path | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, str], dict[str, dict[str, str]]]:
    """Values by key and metric, for every image that could not be scored the sentence that says why, and the same for
    single metrics of images that have others.

    The result does not depend on the number of workers (threads: the arithmetic runs outside Python's lock).
    """
    images: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    lost: dict[str, dict[str, str]] = {}
    if not metric_ids:
        return images, failed, lost
    jobs = [
        ScoreJob(
            restored=item.restored,
            references=item.references,
            protocol=protocol,
            metrics=tuple(metric_ids),
            weights_dir=weights_dir,
        )
        for item in items
    ]
    with bar(f"scoring, {protocol.name}", len(items)) as advance:
        for item, result in zip(items, score_jobs(jobs, workers), strict=True):
            if isinstance(result, str):
                failed[item.key] = result
            else:
                images[item.key] = result.values
                if result.lost:
                    lost[item.key] = result.lost
            advance(1, "")
    print(f"score.py: scored {len(images)} of {len(items)} images under {protocol.name}", file=sys.stderr)
    return images, failed, lost


def build_report(
    protocol: EvalProtocol,
    images: dict[str, dict[str, float]],
    missing: dict[str, str],
    failed: dict[str, str],
    matching: Matching,
    lost: dict[str, dict[str, str]] | None = None,
) -> dict[str, object]:
    """What --json prints. Means as the protocol pools per-image values; infinite values are the text "inf".

    An image that has no value of a metric (lost: key -> metric -> why) takes no part in that mean.
    """
    names = list(dict.fromkeys(name for values in images.values() for name in values))
    means = {
        name: pooled({key: values[name] for key, values in images.items() if name in values}, protocol.pool)
        for name in names
    }

    def plain(values: dict[str, float]) -> dict[str, float | str]:
        return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}

    return {
        "protocol": protocol.name,
        "metrics": plain(means),
        "count": len(images),
        "images": {key: plain(values) for key, values in images.items()},
        "missing": missing,
        "failed": failed,
        **({"lost": lost} if lost else {}),
        "unmatched": {"restored": list(matching.without_sharp), "sharp": list(matching.without_restored)},
    }


def warnings(report: dict) -> list[str]:
    """One sentence for everything that was asked for and is not in the result."""
    sentences = [f"left out: {sentence}" for sentence in report["missing"].values()]
    sentences += [f"{key}: {sentence}" for key, sentence in report["failed"].items()]
    for key, reasons in report.get("lost", {}).items():
        sentences += [f"{key}: no {metric}: {sentence}" for metric, sentence in reasons.items()]
    for metric in report["metrics"]:
        same = [key for key, values in report["images"].items() if values.get(metric) == "inf"]
        if same:
            sentences.append(f"{some(same)}: identical to the sharp image, so the mean of {metric} is infinite")
    texts = {"restored": "restored without a sharp image, not scored", "sharp": "sharp without a restored image"}
    for side, text in texts.items():
        names = report["unmatched"][side]
        if names:
            shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            sentences.append(f"{len(names)} {text}: {shown}")
    return sentences


def table(report: dict) -> str:
    """The report as text: a line an image (if there are few) and the means."""
    names = list(report["metrics"])
    rows = [[key, *(values.get(name, "-") for name in names)] for key, values in report["images"].items()]
    shown = rows if len(rows) <= TABLE_ROWS else []
    mean = [f"mean of {report['count']}", *(report["metrics"][name] for name in names)]
    cells = [[report["protocol"], *names]]
    cells += [[value if isinstance(value, str) else f"{value:.4f}" for value in row] for row in (*shown, mean)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for first, *others in cells:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
    return "\n".join(lines)


def _parser() -> Parser:
    parser = Parser(
        prog="score.py", description="Score restored images against sharp ones under a named protocol.", epilog=EPILOG
    )
    parser.add_argument("restored", type=Path, metavar="RESTORED")
    parser.add_argument("sharp", type=Path, metavar="SHARP", nargs="?")
    parser.add_argument("--protocol", required=True, choices=list(PROTOCOLS), metavar="ID", help=", ".join(PROTOCOLS))
    parser.add_argument(
        "--metrics", action="append", metavar="ID,...", help=f"default: the protocol's; {', '.join(METRICS)}"
    )
    parser.shared("--json", "--weights-dir")
    parser.shared("--workers", help="images scored at once (default: all CPUs)")
    parser.add_argument("--one-based", action="store_true", help="dvd-su30: read the 30 indices as counted from 1")
    return parser


def score_arrays(
    restored: np.ndarray,
    sharp: np.ndarray | Sequence[np.ndarray] | None = None,
    protocol: str = "gopro-linear",
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Score a restored image against a sharp one under a named protocol.

    Parameters
    ----------
    restored : numpy.ndarray
        [H, W, 3] uint8, uint16 or floats in [0, 1], RGB, sRGB-encoded.
    sharp : numpy.ndarray, sequence of numpy.ndarray or None
        The same for the sharp image; several for Kohler's trajectory; None for protocols without truth.
    protocol : str
        Of `benchmark.protocols.PROTOCOLS`: rounding, alignment, cut, kind of SSIM.
    metrics : sequence of str
        Of `benchmark.metrics.METRICS`; by default the protocol's, without those whose files are missing (a warning).

    Returns
    -------
    dict of str to float
        The value of each metric.

    Raises
    ------
    ValueError
        For another type, shape or range, an unknown name, and for a metric asked for by name that lacks a file.

    Examples
    --------
    >>> from benchmark import score
    >>> sharp = np.full((40, 60, 3), 100, dtype=np.uint8)
    >>> values = score(sharp + 5, sharp, "gopro-linear", ["psnr"])
    >>> print(f"{values['psnr']:.3f} dB")  # 20 log10(255 / 5)
    34.151 dB
    """
    import torch

    if protocol not in PROTOCOLS:
        raise ValueError(unknown("there is no protocol", protocol, PROTOCOLS))
    rules = PROTOCOLS[protocol]
    names = list(metrics) or list(rules.metrics)
    find_metrics(names, rules)
    lacking = missing_metrics(names)
    if lacking and metrics:
        raise ValueError("; ".join(lacking.values()))
    for sentence in lacking.values():
        python_warnings.warn(f"left out: {sentence}", stacklevel=2)
    given = [] if sharp is None else list(sharp) if not isinstance(sharp, np.ndarray) or sharp.ndim == 4 else [sharp]
    images = [as_float(restored, "restored"), *(as_float(each, "sharp") for each in given)]
    first, *references = (torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images)
    return score_image(first, references, rules, [name for name in names if name not in lacking])


if __name__ == "__main__":
    sys.exit(main())

make_callable(__name__, score_arrays)
