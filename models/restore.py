"""Restore your own blurred image, folder or video: `python models/restore.py INPUT OUTPUT [--model NAME]`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse

from models import checkpoint
from models.baselines import BASELINES
from models.faces import skip_detection
from models.kept import kept_weights
from models.restore_files import restore_path
from models.restorer import RESTORERS, Restorer, open_method
from models.spec import SWITCHES, Method
from models.tiling import Compared, parse_tile
from models.trainer import DEFAULT_OUT
from models.weights import DEFAULT_WEIGHTS, find_weights, resolve
from models.zoo import MODELS

KEPT = "deblurgan-v2-mobilenet-dsc"  # the network whose weights this project keeps


def choose_weights(model: str, given: str | None) -> Path | None:
    """The given file, the authors' file in weights/, the newest finished training of this network, or the kept weights.

    Errors: ValueError, FileNotFoundError that say how to get weights if there are none.
    """
    if model in BASELINES:
        return None
    if model not in MODELS:
        raise ValueError(f"no method is called {model!r}; there are {', '.join([*BASELINES, *RESTORERS])}")
    if MODELS[model].adapt is None:
        raise ValueError(f"{model} is a part of other networks, it restores nothing; {', '.join(RESTORERS)} do")
    if given is not None:
        return resolve(given, MODELS[model], DEFAULT_WEIGHTS)
    found = find_weights(MODELS[model], DEFAULT_WEIGHTS) if DEFAULT_WEIGHTS.is_dir() else None
    if found is not None:
        return found
    trained = checkpoint.newest_finished(DEFAULT_OUT, model)
    kept = kept_weights(model) if trained is None else None
    if kept is not None:
        print(f"weights: those kept in models/pretrained ({kept.card['trained_on']})", file=sys.stderr)
        return kept.path
    if trained is None:
        raise ValueError(
            f"there are no weights for {model}: name a file with --weights, put the authors' file into weights/, or "
            f"train it with models/train.py --model {model}"
        )
    meta = trained.meta
    print(f"weights: {trained.weights} ({meta['profile']}, {meta['steps_done']} steps)", file=sys.stderr)
    return trained.weights


def open_asked(arguments: argparse.Namespace) -> Method:
    """The method of a command line. Without --tile, still networks take tiles where the memory asks for them.

    Errors: ValueError, FileNotFoundError.
    """
    name = arguments.model
    weights = choose_weights(name, arguments.weights)
    switches = [switch for group in arguments.switches or [] for switch in group.split(",") if switch]
    still = name in MODELS and MODELS[name].frames == 1 and MODELS[name].task != "face"
    tile = parse_tile(arguments.tile or ("auto" if still else "none"))
    method = open_method(name, weights, arguments.device, switches, tile)
    if not arguments.compare_tiles:
        return method
    if tile == "none" or name in BASELINES:
        raise ValueError("--compare-tiles needs tiles: name their size with --tile, such as --tile 256")
    return Compared(method, open_method(name, weights, arguments.device, switches, "none"))


def report_tiles(method: Method) -> None:
    """What was done in tiles, on stderr; the comparison with the whole image on stdout."""
    restorer = method.tiled if isinstance(method, Compared) else method
    if isinstance(restorer, Restorer) and restorer.tiled is not None and restorer.tiled.used_px is not None:
        print(f"tiles of {restorer.tiled.used_px} px", file=sys.stderr)
    if isinstance(method, Compared) and method.images:
        print(method.sentence())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="models/restore.py",
        description="Restore an image, a folder or a video.",
        epilog="Video networks take the images of a folder as the frames of one clip. Grey, transparent and 16-bit "
        "images stay so (in PNG). A video loses its sound. Super-resolution networks write their native size, two or "
        "four times that of the input.",
    )
    parser.add_argument("--model", default=KEPT, help=f"default: {KEPT}; {', '.join([*BASELINES, *RESTORERS])}")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="a path or a name in weights/; default: the authors' file in weights/, your last training, the kept ones",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--stills", action="store_true", help="a folder's images are no clip (video networks)")
    parser.add_argument("--aligned", action="store_true", help="gfpgan: every image is one face in FFHQ's pose")
    parser.add_argument("--switches", action="append", metavar="A,B", help=f"off by default; {', '.join(SWITCHES)}")
    parser.add_argument("--tile", metavar="auto|none|N", help="side in px; default: auto, none for video networks")
    parser.add_argument("--compare-tiles", action="store_true", help="also restore as a whole and print the difference")
    parser.add_argument("input", type=Path, help="an image, a folder of images or a video")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args(argv)
    try:
        method = open_asked(arguments)
        if arguments.aligned:
            skip_detection(method)
        video_network = arguments.model in MODELS and MODELS[arguments.model].frames > 1
        failures = restore_path(method, arguments.input, arguments.output, clip=video_network and not arguments.stills)
    except (FloatingPointError, MemoryError) as error:
        return _fail(f"{arguments.input}: {error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the images written so far are complete", 130)
    except OSError as error:
        if error.errno is None:  # one of our own sentences
            return _fail(error, 2)
        return _fail(f"{error.filename or arguments.output}: {error.strerror or error}", 1)
    except ValueError as error:
        return _fail(error, 2)
    report_tiles(method)
    for failure in failures:
        _fail(failure, 1)
    return 1 if failures else 0


def _fail(sentence: object, code: int) -> int:
    print(f"restore.py: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
