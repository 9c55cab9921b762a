"""Restore your own blurred image, folder or video: `python models/restore.py INPUT OUTPUT [--model NAME]`.

Images, folders and videos of a person's own, restored to files of their kind.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.command_line import Failure, Parser, complain, listed, run, unknown
from core.image_files import (
    IMAGE_SUFFIXES,
    Picture,
    image_size,
    left_out,
    list_images,
    read_picture,
    require_room_for_alpha,
    write_picture,
)
from core.progress import bar
from core.python_use import as_float, in_type_of, make_callable
from core.video import VIDEO_SUFFIXES
from core.weights_files import weights_folder
from models.baselines import BASELINES
from models.chosen_weights import choose
from models.faces import FaceEnhanced, FaceRestorer, skip_detection
from models.restored_video import restore_video
from models.restorer import RESTORERS, Restorer, open_method
from models.spec import SWITCHES, Method
from models.tiling import Compared, parse_tile
from models.training.loop import DEFAULT_OUT
from models.zoo import MODELS

EXAMPLES = (
    "python models/restore.py blurred.jpg restored.png",
    "python models/restore.py --fast holiday holiday_restored",
    "python models/restore.py --model edvr-m-deblur --device cpu clip.mp4 restored.mp4",
)


def restore_path(method: Method, source: Path, target: Path, *, clip: bool, deinterlace: bool = False) -> list[str]:
    """Restore an image, a folder of images or a video. clip: the images of a folder are frames of one clip.
    deinterlace: a video's frames of two fields are made whole ones.

    Returns one sentence for every image that failed; the others are written. Errors: ValueError, OSError.
    """
    if source.is_dir():
        return _restore_folder(method, source, target, clip)
    if not source.is_file():
        raise ValueError(f"{source}: there is no such image, folder or video")
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return restore_video(method, source, target, deinterlace=deinterlace, shown=_shown, say=_say)
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{source}: the input is {_either(IMAGE_SUFFIXES)}, or a video: {_either(VIDEO_SUFFIXES)}")
    if target.is_dir():
        target = target / source.name
    if target.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{target}: an image is written as {_either(IMAGE_SUFFIXES)}")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: input and output are one file; the blurred image would be overwritten")
    picture = read_picture(source)
    require_room_for_alpha(target, picture)
    (frame,) = method.restore(iter([_to_tensor(picture)]))
    write_picture(target, _to_image(frame), picture)
    return []


def _either(suffixes: Sequence[str]) -> str:
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"


def _restore_folder(method: Method, source: Path, target: Path, clip: bool) -> list[str]:
    paths = list_images(source)
    for sentence in left_out(source):
        _say(sentence)
    if not paths:
        raise ValueError(f"{source}: the folder has no images in it that can be read ({', '.join(IMAGE_SUFFIXES)})")
    if target.is_file():
        raise ValueError(f"{target} is a file; a folder's images are written to a folder")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: input and output are one folder; the blurred images would be overwritten")
    targets = [(target / path.name).with_suffix(".png") for path in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"{source}: some images differ only in their suffix; they would be written to one PNG file")
    failures: list[str] = []
    if clip:
        sizes = {}
        for path in paths:
            try:
                sizes[path] = image_size(path)
            except (ValueError, OSError) as error:
                failures.append(f"{error}; the clip goes on without it")
        if len(set(sizes.values())) > 1:
            count = len(set(sizes.values()))
            raise ValueError(f"{source}: the frames of a clip have one size, these have {count}; add --stills")
        kept = [pair for pair in zip(paths, targets, strict=True) if pair[0] in sizes]
        return failures + _restore_clip(method, [path for path, _ in kept], [path for _, path in kept])
    for path, result in _shown(zip(paths, targets, strict=True), len(paths)):
        try:
            picture = read_picture(path)
            (frame,) = method.restore(iter([_to_tensor(picture)]))
        except (ValueError, OSError, FloatingPointError, MemoryError) as error:
            failures.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            continue
        write_picture(result, _to_image(frame), picture)
    _say_count(len(paths) - len(failures))
    return failures


def _restore_clip(method: Method, paths: Sequence[Path], targets: Sequence[Path]) -> list[str]:
    waiting: deque[Picture] = deque()  # how the frames were saved that the network holds

    def blurred() -> Iterator[Tensor]:
        for path in paths:
            picture = read_picture(path)
            waiting.append(replace(picture, rgb=picture.rgb[:0]))
            yield _to_tensor(picture)

    written = 0
    try:
        for path, frame in _shown(zip(targets, method.restore(blurred()), strict=True), len(paths)):
            write_picture(path, _to_image(frame), waiting.popleft())
            written += 1
    except (ValueError, FloatingPointError, MemoryError) as error:
        return [f"{error} (the clip ends here; {written} of {len(paths)} frames are restored)"]
    _say_count(written)
    return []


def _shown(items: Iterator, total: int | None) -> Iterator:
    """The items, with a bar on stderr where that is a terminal."""
    with bar("restoring", total) as advance:
        for item in items:
            yield item
            advance(1, "")


def _say_count(count: int) -> None:
    _say(f"restored {count} image{'s' if count != 1 else ''}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _to_tensor(picture: Picture) -> Tensor:
    return _scaled(picture.rgb, picture.levels)


def _scaled(rgb: np.ndarray, levels: int = 255) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32)).div_(levels)


def _to_image(frame: Tensor) -> np.ndarray:
    return frame.permute(1, 2, 0).contiguous().numpy()


KEPT = "motion-unet-small"  # the better of the two networks whose weights this project keeps
FAST = "deblurgan-v2-mobilenet-dsc"  # the faster one
FACES = "gfpgan"  # the network of --face-enhance


def choose_weights(model: str, given: str | None) -> Path | None:
    """The given file, the authors' file in weights/, the newest finished training of this network, or the kept weights.

    Errors: ValueError, FileNotFoundError that say how to get weights if there are none.
    """
    if model in BASELINES:
        return None
    if model not in MODELS:
        raise ValueError(unknown("no method is called", model, [*BASELINES, *RESTORERS]))
    if MODELS[model].adapter is None:
        raise ValueError(f"{model} is a part of other networks, it restores nothing; {', '.join(RESTORERS)} do")
    folder = weights_folder()
    found = choose(MODELS[model], model, given, folder if given or folder.is_dir() else None, trainings=DEFAULT_OUT)
    if found is None:
        raise ValueError(
            f"there are no weights for {model}: name a file with --weights, put the authors' file into weights/, or "
            f"train it with models/train.py --model {model}"
        )
    if given is None and found.origin == "kept":
        print(f"weights: those kept in models/pretrained ({found.data})", file=sys.stderr)
    if found.origin == "trained":
        print(f"weights: {found.path} ({found.profile}, {found.steps} steps)", file=sys.stderr)
    return found.path


def open_asked(arguments: argparse.Namespace) -> Method:
    """The method of a command line. Without --tile, still networks take tiles where the memory asks for them.

    Errors: ValueError, FileNotFoundError.
    """
    name = arguments.model
    weights = choose_weights(name, arguments.weights)
    switches = listed(arguments.switches)
    still = name in MODELS and MODELS[name].frames == 1 and MODELS[name].task != "face"
    tile = parse_tile(arguments.tile or ("auto" if still else "none"))
    method = open_method(name, weights, arguments.device, switches, tile)
    if arguments.face_enhance:
        return _with_faces(method, name, arguments)
    if not arguments.compare_tiles:
        return method
    if tile == "none" or name in BASELINES:
        raise ValueError("--compare-tiles needs tiles: name their size with --tile, such as --tile 256")
    return Compared(method, open_method(name, weights, arguments.device, switches, "none"))


def _with_faces(method: Method, name: str, arguments: argparse.Namespace) -> Method:
    """GFPGAN's faces on what a method restores. Errors: ValueError, FileNotFoundError."""
    if name in MODELS and MODELS[name].task == "face":
        raise ValueError(f"--face-enhance puts faces on another network's background; {name} restores faces itself")
    if arguments.compare_tiles:
        raise ValueError("--compare-tiles is for one network; leave --face-enhance away")
    opened = open_method(FACES, choose_weights(FACES, arguments.face_weights), arguments.device)
    assert isinstance(opened, Restorer) and isinstance(opened.adapted, FaceRestorer)
    return FaceEnhanced(method, opened.adapted, MODELS[name].scale if name in MODELS else 1)


def report_tiles(method: Method) -> None:
    """What was done in tiles, on stderr; the comparison with the whole image on stdout."""
    restorer = method.tiled if isinstance(method, Compared) else method
    if isinstance(restorer, Restorer) and restorer.tiled is not None and restorer.tiled.used_px is not None:
        print(f"tiles of {restorer.tiled.used_px} px", file=sys.stderr)
    if isinstance(method, Compared) and method.images:
        print(method.sentence())


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _restore, argv, interrupted="interrupted; the images written so far are complete")


EPILOG = """\
Video networks take the images of a folder as the frames of one clip. Grey, transparent and 16-bit images stay so (in
PNG). A video keeps the times of its frames, its sound, rotation, pixel shape and colours. Super-resolution networks
write their native size, two or four times that of the input.
"""


def _parser() -> Parser:
    parser = Parser(
        prog="models/restore.py", description="Restore an image, a folder or a video.", epilog=EPILOG, examples=EXAMPLES
    )
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--model", default=KEPT, help=f"default: {KEPT}; {', '.join([*BASELINES, *RESTORERS])}")
    network.add_argument(
        "--fast", action="store_const", const=FAST, dest="model", help=f"the faster of the kept networks, {FAST}"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="a path or a name in weights/; default: the authors' file in weights/, your last training, the kept ones",
    )
    parser.shared("--device")
    parser.add_argument("--stills", action="store_true", help="a folder's images are no clip (video networks)")
    parser.add_argument("--aligned", action="store_true", help="gfpgan: every image is one face in FFHQ's pose")
    parser.add_argument("--deinterlace", action="store_true", help="make whole frames of an interlaced video (bwdif)")
    parser.add_argument(
        "--face-enhance", action="store_true", help=f"faces restored by {FACES}, on this network's background"
    )
    parser.add_argument("--face-weights", metavar="FILE", help=f"weights of {FACES}; default as of --weights")
    parser.shared("--switches", help=f"off by default; {', '.join(SWITCHES)}")
    parser.add_argument("--tile", metavar="auto|none|N", help="side in px; default: auto, none for video networks")
    parser.add_argument("--compare-tiles", action="store_true", help="also restore as a whole and print the difference")
    parser.add_argument("input", type=Path, help="an image, a folder of images or a video")
    parser.add_argument("out", metavar="output", type=Path)
    return parser


def _restore(arguments: argparse.Namespace) -> int:
    try:
        method = open_asked(arguments)
        if arguments.aligned:
            skip_detection(method)
        video_network = arguments.model in MODELS and MODELS[arguments.model].frames > 1
        clip = video_network and not arguments.stills
        failures = restore_path(method, arguments.input, arguments.out, clip=clip, deinterlace=arguments.deinterlace)
    except (FloatingPointError, MemoryError) as error:
        raise Failure(f"{arguments.input}: {error}") from None
    report_tiles(method)
    for failure in failures:
        complain("restore.py", failure)
    return 1 if failures else 0


class Network:
    """A method that restores arrays, kept for many images; `load` makes it."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Restore an image [H, W, 3] or a clip of consecutive frames [T, H, W, 3].

        uint8, uint16 or floats in [0, 1], RGB, sRGB-encoded; the result is of the same type, and of the same shape
        but for networks that enlarge. Errors: ValueError for another type, shape or range; MemoryError.
        """
        images = np.asarray(images)
        frames = as_float(images, "images", (3, 4))
        clip = frames if images.ndim == 4 else frames[None]
        restored = self.method.restore(_scaled(frame, 1) for frame in clip)
        result = np.stack([in_type_of(_to_image(frame), images) for frame in restored])
        return result if images.ndim == 4 else result[0]


def load(
    model: str = KEPT,
    weights: Path | str | None = None,
    *,
    device: str = "auto",
    switches: Sequence[str] = (),
    tile: int | str = "",
) -> Network:
    """A network with its weights, or a baseline, for arrays.

    Parameters
    ----------
    model : str
        A name of `models/restore.py --help`; by default the small network whose weights this project keeps.
    weights : path or str, optional
        A file, or a name in the weights folder; by default the authors' file there, your last training, the kept ones.
    device, switches
        As `models.restorer.open_method` takes them.
    tile : int or str
        "auto", "none" or a side in px; "" is "auto" for still networks and "none" for others.

    Returns
    -------
    Network
        Call it with an image [H, W, 3] or a clip [T, H, W, 3].

    Raises
    ------
    ValueError, FileNotFoundError
        For an unknown name, missing or wrong weights, a switch or a tile that does not suit.

    Examples
    --------
    >>> from models import load
    >>> network = load("identity")
    >>> network(np.zeros((2, 16, 24, 3), dtype=np.uint8)).shape
    (2, 16, 24, 3)
    """
    path = choose_weights(model, None if weights is None else str(weights))
    still = model in MODELS and MODELS[model].frames == 1 and MODELS[model].task != "face"
    return Network(open_method(model, path, device, switches, parse_tile(str(tile or ("auto" if still else "none")))))


_loaded: dict[tuple[str, str, str], Network] = {}  # the last network that `restore_array` was asked for


def restore_array(
    images: np.ndarray, model: str = KEPT, weights: Path | str | None = None, *, device: str = "auto"
) -> np.ndarray:
    """Restore an image [H, W, 3] or a clip [T, H, W, 3]: `load(model, weights, device=device)(images)`.

    The network stays loaded until another one is asked for.

    Examples
    --------
    >>> from models import restore
    >>> blurred = np.full((48, 64, 3), 90, dtype=np.uint8)
    >>> restored = restore(blurred, "deblurgan-v2-mobilenet-dsc")
    >>> restored.shape, restored.dtype
    ((48, 64, 3), dtype('uint8'))
    """
    key = (model, str(weights), device)
    if key not in _loaded:
        network = load(model, weights, device=device)
        _loaded.clear()
        _loaded[key] = network
    return _loaded[key](images)


if __name__ == "__main__":
    sys.exit(main())

make_callable(__name__, restore_array)
