"""The pages of docs/: every command is accepted by its program, most are run, links and figures hold.

A block of commands (```sh) is preceded by `<!-- run -->`, and this test runs it in a folder with a small clip,
photographs and images, or by `<!-- data: what it needs -->`, and its words are checked alone. Trainings get two steps.
"""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from core.command_line import Parser
from core.image_files import write_image
from core.random_streams import stream
from models.kept_weights import kept_weights
from models.restore import KEPT
from tests.benchmark.run_data import quick_cost
from tests.synth.clips import moving_frames, texture, write_frames, write_video

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "log.md")
EVERY_PAGE = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"])
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Command:
    page: str
    words: tuple[str, ...]
    mark: str

    @property
    def line(self) -> str:
        return shlex.join(self.words)


def blocks(page: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


def commands(page: Path) -> list[Command]:
    """The lines of the blocks of commands of a page; comments and lines that go on are understood."""
    found = []
    for block in blocks(page):
        if block["kind"] == "sh":
            for line in block["text"].replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    found.append(Command(page.name, tuple(words), block["mark"] or ""))
    return found


def readme_commands() -> list[Command]:
    """The README's commands: what stands behind a prompt, all of which are run, and `make`."""
    lines = [line for block in blocks(ROOT / "README.md") for line in block["text"].splitlines()]
    asked = [line.removeprefix("$ ") for line in lines if line.startswith(("$ ", "make "))]
    return [Command("README.md", tuple(shlex.split(line, comments=True)), "run") for line in asked]


EVERY = [*readme_commands(), *(command for page in PAGES for command in commands(page))]


def module_of(script: str) -> ModuleType:
    name = script.removesuffix(".py").replace("/", ".")
    return importlib.import_module("benchmark.testsets.command" if name == "benchmark.testsets" else name)


def parser_of(module: ModuleType) -> Parser:
    return (module.parser if hasattr(module, "parser") else module._parser)()


def program(command: Command) -> tuple[str, list[str]]:
    """(script, its words), "" for a program that is not ours. python, .venv/bin/python and torchrun start ours."""
    words = list(command.words)
    first = words.pop(0)
    if first == "torchrun":
        while words and not words[0].endswith(".py"):
            words.pop(0)
    elif first not in ("python", ".venv/bin/python"):
        return "", words
    if words[:2] == ["-m", "tests.parity"]:
        return "tests/parity/__main__.py", words[2:]
    return words[0], words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_say_whether_they_are_run(page: Path) -> None:
    for block in blocks(page):
        assert block["kind"] in ("sh", "python", "text"), f"{page.name}: a block without a kind"
        if block["kind"] == "sh":
            mark = block["mark"] or ""
            assert mark == "run" or mark.startswith("data: "), f"{page.name}: {block['text'][:60]!r} lacks its mark"


@pytest.mark.parametrize("command", EVERY, ids=lambda command: f"{command.page}: {command.line}"[:90])
def test_the_program_accepts_the_command(command: Command) -> None:
    script, words = program(command)
    if not script:
        assert command.words[0] in ("make", ".venv/bin/dask", "pip", "git"), f"what is {command.words[0]}?"
        if command.words[0] == "make":
            assert re.search(rf"^{command.words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    assert (ROOT / script).is_file(), script
    found = parser_of(module_of(script)).parse_args(words)
    assert isinstance(found, argparse.Namespace)


def small(script: str, words: list[str]) -> list[str]:
    """The same command in a size for a test: two steps, one thread, one worker."""
    if script == "models/train.py":
        steps = [] if "--steps" not in words else [words.index("--steps")]
        for place in steps:
            words = words[:place] + words[place + 2 :]
        words = [*words, "--steps", "2", "--device", "cpu", "--threads", "1"]
        words += [] if "--batch" in words else ["--batch", "1"]
        words += [] if "--crop" in words else ["--crop", "64"]
    elif script == "synth/make_pairs.py" and not (words and words[0] in ("verify", "rebuild", "select")):
        words = [*words, "--workers", "1"]
    elif script == "benchmark/run.py":
        words = [*words, "--workers", "1", "--device", "cpu", "--limit", "2"]
    return words


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the pages speak of: a clip, its frames, another clip, photographs, restored and sharp images, votes."""
    home = tmp_path
    write_video(home / "clip.mp4", moving_frames(23))
    write_video(home / "test.mp4", moving_frames(11, seed=1))
    write_frames(home / "frames", moving_frames(23))
    for number in range(3):
        picture = texture(number, 180, 240)
        write_image(home / "photographs" / f"{number}.png", picture)
        write_image(home / "sharp" / f"{number}.png", picture)
        noise = stream(number, "noise").integers(0, 9, picture.shape)
        write_image(home / "restored" / f"{number}.png", (picture.astype(int) + noise).clip(0, 255).astype(np.uint8))
    write_image(home / "blurred.png", texture(5, 90, 120))
    write_image(home / "blurred.jpg", texture(5, 90, 120))
    votes = stream(0, "votes").integers(1, 4, (60, 2))
    lines = [f"{number % 5 + 1},{a},{b},{number % 2 + 1}" for number, (a, b) in enumerate(votes) if a != b]
    (home / "votes.csv").write_text("Image ID,Method 1,Method 2,Result\n" + "\n".join(lines) + "\n")
    return home


ORDER = ("getting-started.md", "synthesis.md", "training.md", "scoring.md", "data-and-weights.md", "preference.md")


def test_the_order_has_every_page_with_commands_to_run() -> None:
    assert {command.page for command in EVERY if command.mark == "run"} <= {"README.md", *ORDER}
    assert len(readme_commands()) >= 5


def test_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the pages: later ones use what earlier ones made."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("benchmark.run.measure_apart", quick_cost)
    for command in [*readme_commands(), *(each for page in ORDER for each in commands(ROOT / "docs" / page))]:
        script, words = program(command)
        if command.mark != "run" or not script:
            continue
        by_default = script == "models/restore.py" and "--model" not in words
        if by_default and kept_weights(KEPT) is None:  # until the default network's weights are kept
            continue
        code = module_of(script).main(small(script, words))
        assert code == 0, f"{command.page}: {command.line}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To files, and to headings in them; as plain Markdown, without the site."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            names = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}
            assert heading in names, f"{page.name}: {target}"


def test_every_page_is_in_the_site() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs"))
        assert name == "log.md" or f"- {name}\n" in listed, name


def test_the_log_is_numbered_through() -> None:
    pages = sorted(path for path in (ROOT / "docs" / "log").glob("*.md") if path.name != "index.md")
    numbers = [
        [int(number) for number in re.findall(r"^## (\d+)\. ", page.read_text(encoding="utf-8"), re.MULTILINE)]
        for page in pages
    ]
    assert all(own == sorted(own) for own in numbers)
    together = sorted(number for own in numbers for number in own)
    assert together == list(range(1, len(together) + 1))
    index = (ROOT / "docs" / "log" / "index.md").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", index, re.MULTILINE)] == together


def test_the_tables_of_scoring_are_complete() -> None:
    from benchmark.metrics import METRICS
    from benchmark.protocols import PROTOCOLS

    text = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
    for name in [*METRICS, *PROTOCOLS]:
        assert f"`{name}`" in text, name


def test_the_code_on_python_names_what_there_is() -> None:
    """The calls of docs/python.md with made-up arrays."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for line in ("from models import restore", "from models import load", "from benchmark import score"):
        assert line in text
    import models
    from benchmark import score
    from models import restore
    from synth import blur

    picture = texture(3, 64, 80)
    assert restore(picture, "identity").shape == picture.shape and callable(models.load)
    assert score(picture, picture, "gopro-linear", ["ssim-gauss-valid"])["ssim-gauss-valid"] == pytest.approx(1.0)
    assert blur(np.stack(moving_frames(3)), interpolator="crossfade").shape == (72, 96, 3)
