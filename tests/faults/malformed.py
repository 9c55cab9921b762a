"""Malformed inputs by a seeded generator, of nine kinds; each must end in a sentence (or do no harm), in time.

Every case makes one input that is wrong in a random way and gives it to the command line that reads such inputs, in
this process. Counted as wrong: an exception, an exit code that is none of ours, more than a sentence's worth of lines,
a changed input, more than MOST_S seconds or MOST_BYTES of memory, and other bytes than those of work that was left
alone where a damaged output is called finished.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import signal
import struct
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from core.files import sha256_of

MOST_S, MOST_BYTES, MOST_LINES = 60, 6_000_000_000, 12
CODES = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A malformed input. call: runs a command line on it and returns its exit code; inputs: what must stay.

    after: what is wrong with the output of a command that ended well, "" for nothing.
    """

    kind: str
    title: str
    call: Callable[[], int]
    inputs: tuple[Path, ...] = ()
    after: Callable[[], str] | None = None


@dataclass
class Tally:
    """What came of the cases."""

    sentences: int = 0
    harmless: int = 0
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def count(self) -> int:
        return self.sentences + self.harmless + len(self.wrong)


class TooLong(BaseException):
    """A case took more than MOST_S. No Exception, so that nothing takes it for a failure of its own."""


def judge(case: Case, tally: Tally) -> None:
    """Run a case and count what came of it."""
    before = {path: sha256_of(path) for path in case.inputs if path.is_file()}
    out, err = io.StringIO(), io.StringIO()

    def stop(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_S)
    started, problem, code = time.monotonic(), "", -1
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = case.call()
    except TooLong:
        problem = f"more than {MOST_S} s"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__}: {str(error)[:100]} ({Path(place.filename).name}:{place.lineno})"
    finally:
        signal.alarm(0)
    tally.slowest_s = max(tally.slowest_s, time.monotonic() - started)
    lines = err.getvalue().strip().splitlines()
    if not problem and code not in CODES:
        problem = f"exit code {code}"
    elif not problem and "Traceback" in err.getvalue():
        problem = "a traceback"
    elif not problem and code and (not lines or len(lines) > MOST_LINES):
        problem = f"{len(lines)} lines in place of a sentence"
    elif not problem and {path: sha256_of(path) for path in before if path.is_file()} != before:
        problem = "an input was changed"
    elif not problem and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MOST_BYTES:
        problem = f"more than {MOST_BYTES / 1e9:.0f} GB"
    if not problem and code == 0 and case.after is not None:
        problem = case.after()
    if problem:
        tally.wrong.append(f"{case.kind}, {case.title}: {problem}")
    elif code == 0:
        tally.harmless += 1
    else:
        tally.sentences += 1


def damaged(rng: np.random.Generator, data: bytes) -> tuple[str, bytes]:
    """Bytes that were cut, changed, filled or doubled somewhere."""
    place = int(rng.integers(len(data))) if data else 0
    how = str(rng.choice(["cut", "change", "zeros", "doubled", "empty", "noise", "swapped"]))
    if how == "cut":
        return how, data[:place]
    if how == "change":
        changed = bytearray(data)
        for index in rng.integers(0, len(data), 1 + int(rng.integers(20))):
            changed[index] = int(rng.integers(256))
        return how, bytes(changed)
    if how == "zeros":
        return how, data[:place] + bytes(len(data) - place)
    if how == "doubled":
        return how, data + data[place:]
    if how == "empty":
        return how, b""
    if how == "noise":
        return how, rng.bytes(int(rng.integers(1, 3000)))
    return how, data[place:] + data[:place]


WEIRD: list[Any] = [
    None, True, -1, 0, 3.5, 1e300, -1e300, 1e-300, 10**30, "", "x", "../../x", "/etc/passwd", "a" * 5000, [], [1], {},
    {"a": 1},
    [[[[[[]]]]]], "\x00", "ü/../ü", "C:\\x", "nan", "1e5",
]  # fmt: skip


def odd(rng: np.random.Generator, value: Any, depth: int = 0) -> Any:
    """A JSON value with something wrong in it."""
    if isinstance(value, dict) and value and (depth == 0 or rng.random() < 0.7):
        key = str(rng.choice(sorted(value)))
        how = rng.integers(4)
        if how == 0:
            return {name: item for name, item in value.items() if name != key}
        if how == 1 and isinstance(value[key], dict | list):
            return value | {key: odd(rng, value[key], depth + 1)}
        return value | {key: WEIRD[int(rng.integers(len(WEIRD)))]}
    if isinstance(value, list) and value:
        index = int(rng.integers(len(value)))
        return [*value[:index], odd(rng, value[index], depth + 1), *value[index + 1 :]]
    return WEIRD[int(rng.integers(len(WEIRD)))]


class Generator:
    """Cases of all kinds. home: a folder with the inputs of tests/faults/tasks.py; work: where cases are made."""

    def __init__(self, home: Path, work: Path, seed: int) -> None:
        from synth.photographs import PhotographsConfig, make

        self.home, self.work = home, work
        self.rng = np.random.default_rng(seed)
        self.made = home / "good-set"
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            make(
                PhotographsConfig(folders=(home / "photographs",), blurs=1, trajectories=1.0),
                self.made,
                workers=1,
                resume=True,
            )
        self.number = 0

    KINDS = ("video", "images", "manifests", "checkpoints", "tables", "http", "command lines", "restoring", "outputs")

    def case(self, kind: str) -> Case:
        self.number += 1
        place = self.work / f"{self.number:05d}"
        place.mkdir(parents=True)
        made: Case = getattr(self, f"_{kind.replace(' ', '_')}")(place)
        return made

    def _video(self, place: Path) -> Case:
        from synth import make_pairs

        clip = self.home / "clip.mp4"
        if not clip.is_file():
            write_clip(clip)
        how, data = damaged(self.rng, clip.read_bytes())
        path = place / str(self.rng.choice(["a.mp4", "a.mov", "a.avi", "a b%20.mkv"]))
        path.write_bytes(data)
        words = ["--video", str(path), "--interp", "1x", "--window", "3", "--workers", "1", "--limit", "2"]
        return Case(
            kind="video", title=f"{self.number} {how}", inputs=(path,),
            call=lambda: make_pairs.main([*words, "--out", str(place / "out")]),
        )  # fmt: skip

    def _images(self, place: Path) -> Case:
        from benchmark import score

        good = sorted((self.home / "photographs").iterdir())[0].read_bytes()
        how, data = damaged(self.rng, good)
        if self.rng.random() < 0.3:  # another size than the file's
            how, size = "size", struct.pack(">II", *(int(n) for n in self.rng.integers(0, 1 << 31, 2)))
            data = good[:16] + size + good[24:]
        path = place / "restored" / str(self.rng.choice(["p.png", "p.jpg", "p.jpeg"]))
        path.parent.mkdir()
        path.write_bytes(data)
        (place / "sharp").mkdir()
        (place / "sharp" / "p.png").write_bytes(good)
        words = [str(path.parent), str(place / "sharp"), "--protocol", "pairs", "--metrics", "psnr", "--workers", "1"]
        return Case(kind="images", title=f"{self.number} {how}", inputs=(path,), call=lambda: score.main(words))

    def _manifests(self, place: Path) -> Case:
        from models import train
        from synth import make_pairs

        folder = place / "set"
        for path in sorted(self.made.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(self.made)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        name = str(self.rng.choice(["pairs.jsonl", "pairs.jsonl", "run.json"]))
        path = folder / name
        lines = path.read_text().splitlines() if name == "pairs.jsonl" else [path.read_text()]
        index = int(self.rng.integers(len(lines)))
        how = "value"
        if self.rng.random() < 0.3:
            how, data = damaged(self.rng, path.read_bytes())
            path.write_bytes(data)
        else:
            lines[index] = json.dumps(odd(self.rng, json.loads(lines[index])))
            path.write_text("\n".join(lines) + "\n")
        command = str(self.rng.choice(["verify", "select", "rebuild", "train"]))
        calls: dict[str, Callable[[], int]] = {
            "verify": lambda: make_pairs.main(["verify", str(folder)]),
            "select": lambda: make_pairs.main(
                ["select", str(folder), "--where", "bits > 0", "--out", str(place / "out")]
            ),
            "rebuild": lambda: make_pairs.main(
                ["rebuild", "p0-000_000000", "--in", str(folder), "--out", str(place / "out")]
            ),
            "train": lambda: train.main(
                ["--model", "mimo-unet-test", "--pairs", str(folder), "--batch", "999", "--accumulate", "7"]
            ),  # a batch that does not split: nothing is ever trained
        }
        return Case(
            kind="manifests", title=f"{self.number} {command} {name} {how}", inputs=(path,), call=calls[command]
        )

    def _checkpoints(self, place: Path) -> Case:
        import torch

        from models import weights
        from models.zoo import MODELS

        kinds = ["net.pth", "old.pth", "net.safetensors"]
        name = kinds[int(self.rng.integers(3))]
        good = self.home / name
        if not good.is_file():
            state = MODELS["mimo-unet-test"].build().state_dict()
            if name.endswith("safetensors"):
                from safetensors.torch import save_file

                save_file(state, good)
            else:
                torch.save({"params": state}, good, _use_new_zipfile_serialization=name == "net.pth")
        how, data = damaged(self.rng, good.read_bytes())
        if self.rng.random() < 0.4:  # where the file describes itself
            changed = bytearray(good.read_bytes())
            end = 4000 if name != "net.pth" else len(changed)
            for index in self.rng.integers(0, min(end, len(changed)), 3):
                changed[index] = int(self.rng.integers(256))
            how, data = "description", bytes(changed)
        path = place / name
        path.write_bytes(data)
        return Case(
            kind="checkpoints", title=f"{self.number} {name} {how}", inputs=(path,),
            call=lambda: weights.main(["check", "mimo-unet-test", str(path)]),
        )  # fmt: skip

    def _tables(self, place: Path) -> Case:
        from benchmark.preference import fit
        from reports import build
        from tests.reports.result_data import write_results

        if self.rng.random() < 0.5:
            good = "Image ID,Method 1,Method 2,Result\n" + "".join(
                f"{n},{'ABC'[n % 3]},{'ABC'[(n + 1) % 3]},{1 + n % 2}\n" for n in range(12)
            )
            how, data = self._odd_table(good)
            path = place / "votes.csv"
            path.write_bytes(data)
            call = lambda: fit.main(["--votes", str(path), "--json"])  # noqa: E731
        else:
            write_results(place)
            path = place / str(self.rng.choice(["scores.csv", "methods.csv", "cost.csv"]))
            how, data = self._odd_table(path.read_text() if path.is_file() else "a,b\n1,2\n")
            path.write_bytes(data)
            call = lambda: build.main(["--in", str(place), "--out", str(place / "out")])  # noqa: E731
        return Case(kind="tables", title=f"{self.number} {path.name} {how}", inputs=(path,), call=call)

    def _odd_table(self, text: str) -> tuple[str, bytes]:
        how = str(self.rng.choice(["column", "cell", "long", "row", "quote", "bytes"]))
        rows = [line.split(",") for line in text.splitlines()]
        row, column = int(self.rng.integers(len(rows))), 0
        column = int(self.rng.integers(len(rows[row])))
        if how == "column":
            rows = [[cell for index, cell in enumerate(cells) if index != column] for cells in rows]
        elif how == "cell":
            rows[row][column] = str(WEIRD[int(self.rng.integers(len(WEIRD)))])
        elif how == "long":
            rows[row][column] = "x" * int(self.rng.integers(200_000, 3_000_000))
        elif how == "row":
            rows[row] = rows[row][:column]
        elif how == "quote":
            rows[row][column] = '"' + rows[row][column]
        else:
            return damaged(self.rng, text.encode())
        return how, "\n".join(",".join(cells) for cells in rows).encode("utf-8", "replace")

    def _http(self, place: Path) -> Case:
        from benchmark.preference.study import VoteStore, find_study
        from benchmark.preference.web import study_app

        root = self.home / "study"
        for method in ("one", "two"):
            (root / method).mkdir(parents=True, exist_ok=True)
            for path in (self.home / "photographs").iterdir():
                (root / method / path.name).write_bytes(path.read_bytes())
        client = study_app(find_study(root), VoteStore(place / "votes.sqlite"), 10, 0.0, 1000).test_client()
        names = ["ann", "..", "%2e%2e", "a" * 300, "ä", "a b", "", "'; DROP TABLE votes; --"]
        name = names[int(self.rng.integers(len(names)))]
        paths = ["/", f"/p/{name}", f"/next/{name}", f"/image/{name}/0/left", f"/image/{name}/99999999999/up"]
        paths += [f"/vote/{name}", f"/next/{name}/x", "/../../etc/passwd", "/image/ann/-1/left", "/\x00"]
        path = paths[int(self.rng.integers(len(paths)))]
        method = str(self.rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD"]))
        body = json.dumps(odd(self.rng, {"position": 0, "choice": "left"})).encode()
        if self.rng.random() < 0.3:
            body = damaged(self.rng, body)[1]

        def call() -> int:
            answer = client.open(path, method=method, data=body, content_type="application/json")
            return 0 if answer.status_code < 500 else answer.status_code

        return Case(kind="http", title=f"{self.number} {method} {path[:40]!r}", call=call)

    def _command_lines(self, place: Path) -> Case:
        from benchmark import cost, score
        from benchmark import run as benchmark_run
        from benchmark.preference import fit
        from models import restore, train, weights
        from synth import make_pairs

        mains: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
            "make_pairs": (make_pairs.main, ["--interp", "--window", "--fps", "--stride", "--limit", "--duty"]),
            "train": (train.main, ["--model", "--recipe", "--steps", "--batch", "--crop", "--mix", "--every"]),
            "run": (benchmark_run.main, ["--methods", "--testsets", "--protocols", "--metrics", "--limit"]),
            "score": (score.main, ["--protocol", "--metrics", "--workers"]),
            "cost": (cost.main, ["--methods", "--height", "--width", "--switches"]),
            "restore": (restore.main, ["--model", "--weights", "--tile", "--switches", "--device"]),
            "weights": (weights.main, ["check", "list", "fetch", "interpolate", "--alpha"]),
            "fit": (fit.main, ["--votes", "--prior", "--names"]),
        }  # fmt: skip
        name = str(self.rng.choice(sorted(mains)))
        main, flags = mains[name]
        values = [str(value) for value in WEIRD if "\x00" not in str(value)] + ["inf", "-inf", "1e20", "16x", "--", "-"]
        words: list[str] = []
        for _ in range(int(self.rng.integers(1, 5))):
            words += [str(self.rng.choice(flags)), values[int(self.rng.integers(len(values)))]]
        words += ["--no-such-flag"]  # nothing is ever begun
        return Case(
            kind="command lines", title=f"{self.number} {name} {' '.join(words)[:80]}", call=lambda: _code(main, words)
        )

    def _restoring(self, place: Path) -> Case:
        """An image, a video, or a folder with one such image among good ones."""
        from models import restore

        what = str(self.rng.choice(["image", "image", "folder", "video"]))
        if what == "video":
            clip = self.home / "clip.mp4"
            if not clip.is_file():
                write_clip(clip)
            how, data = damaged(self.rng, clip.read_bytes())
            path = source = place / str(self.rng.choice(["a.mp4", "a.mkv", "a.mov"]))
        else:
            suffix = str(self.rng.choice([".png", ".jpg", ".tif", ".webp", ".bmp"]))
            how, data = damaged(self.rng, self._picture(suffix))
            path = place / "in" / f"p{suffix}"
            source = path.parent if what == "folder" else path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        target = place / ("out" if what == "folder" else f"out{path.suffix}")
        if what == "folder":
            (path.parent / "good.png").write_bytes(self._picture(".png"))
        words = ["--model", "identity", "--device", "cpu", str(source), str(target)]

        def after() -> str:
            there = target / "good.png" if what == "folder" else target
            return "" if there.is_file() and there.stat().st_size else f"{there.name} was not written"

        return Case(
            kind="restoring", title=f"{self.number} {what} {path.name} {how}", inputs=(path,),
            call=lambda: restore.main(words), after=after,
        )  # fmt: skip

    def _picture(self, suffix: str) -> bytes:
        from PIL import Image

        path = self.home / f"picture{suffix}"
        if not path.is_file():
            with Image.open(sorted((self.home / "photographs").iterdir())[0]) as image:
                image.save(path)
        return path.read_bytes()

    def _outputs(self, place: Path) -> Case:
        """A finished output of which one file was changed, and the same command again, with --resume or without."""
        from tests.faults.tasks import digests

        name = str(self.rng.choice(["photographs", "training", "benchmark"]))
        whole = self.home / f"{name}-of-its-own"
        call = self._work(name)
        if not whole.is_dir():
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                assert call(whole) == 0
        out = place / "out"
        shutil.copytree(whole, out)
        files = sorted(path for path in out.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
        path = files[int(self.rng.integers(len(files)))]
        if path.suffix == ".json" and self.rng.random() < 0.7:
            how = "value"
            path.write_text(json.dumps(odd(self.rng, json.loads(path.read_text()))))
        elif path.suffix == ".csv" and self.rng.random() < 0.5:
            how, data = self._odd_table(path.read_text())
            path.write_bytes(data)
        elif self.rng.random() < 0.2:
            how = "gone"
            path.unlink()
        else:
            how, data = damaged(self.rng, path.read_bytes())
            path.write_bytes(data)
        more = ("--resume",) if self.rng.random() < 0.6 else ()
        expected = digests(whole)

        def after() -> str:
            found = digests(out)
            other = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
            if how == "gone" and other == ["training_state.safetensors"]:
                return ""  # a user may remove it: only --extend needs it, and says so
            return f"called finished, but {', '.join(other[:3])} differs" if other else ""

        return Case(
            kind="outputs", title=f"{self.number} {name} {' '.join(more)} {path.relative_to(out)} {how}",
            call=lambda: call(out, *more), after=after,
        )  # fmt: skip

    def _work(self, name: str) -> Callable[..., int]:
        """A task of tests/faults/tasks.py in this process, its costs not measured: call(out, *more words)."""
        from benchmark import run as benchmark_run
        from models import train
        from synth import make_pairs
        from tests.benchmark.run_data import build_here, quick_cost
        from tests.faults.tasks import tasks

        mains = {"synth/make_pairs.py": make_pairs, "models/train.py": train, "benchmark/run.py": benchmark_run}
        script, *words = tasks(self.home)[name].words
        if name == "training":
            words[words.index("--steps") + 1] = "2"

        def call(out: Path, *more: str) -> int:
            measured = mock.patch.object(benchmark_run, "measure_apart", quick_cost)
            with measured, mock.patch.object(benchmark_run, "build_report", build_here):
                return mains[script].main([*words, "--out", str(out), *more])

        return call


def _code(main: Callable[[list[str]], int], words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as end:  # --help among the words
        return int(end.code or 0)


def write_clip(path: Path) -> None:
    """A clip of twelve frames at 240 fps."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=240)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            image = np.roll(np.arange(64 * 48 * 3, dtype=np.int64).reshape(48, 64, 3) % 251, number, axis=1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def run(home: Path, work: Path, *, count: int, seed: int, kinds: tuple[str, ...] = Generator.KINDS) -> Tally:
    """So many cases, the kinds in turn."""
    generator, tally = Generator(home, work, seed), Tally()
    for number in range(count):
        judge(generator.case(kinds[number % len(kinds)]), tally)
    return tally
