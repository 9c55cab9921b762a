"""What every command line of the project has in common: its exit codes, its one-sentence errors, its way to end.

An entry script calls `loading()` before its imports, makes its flags with `Parser`, and gives its work to `run`.
Exit codes: 0 fine, 1 an item or the disk failed, or nobody reads the output any more, 2 bad arguments or a refusal to
start, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import math
import os
import select
import signal
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn, TextIO

from core import provenance
from core.interrupts import INTERRUPTED, catch, end_loading

FINE, FAILED, REFUSED = 0, 1, 2
PROJECT = "deblur-bench"
LIBRARIES = (("torch", ("torch",)), ("numpy", ("numpy",)), ("opencv", ("opencv-python", "opencv-python-headless")))


# Flags that several commands have.
SHARED: dict[str, dict[str, Any]] = {
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "of everything drawn at random (default 0)"},
    "--device": {"default": "auto", "metavar": "D", "help": "auto, cpu, cuda, cuda:N, mps (default %(default)s)"},
    "--workers": {"type": int, "default": provenance.cpu_count(), "metavar": "N", "help": "default: all CPUs"},
    "--threads": {"type": int, "metavar": "N", "help": "CPU threads, fixed: last bits depend on it (%(default)s)"},
    "--batch": {"type": int, "metavar": "N", "help": "samples of a step, in every process"},
    "--crop": {"type": int, "metavar": "PX", "help": "side of the square crops, in every stage"},
    "--steps": {"type": int, "metavar": "N", "help": "training steps in place of the profile's"},
    "--resume": {"action": "store_true", "help": "go on with unfinished work"},
    "--weights-dir": {"type": Path, "metavar": "DIR", "help": "folder of weights files (default: weights/)"},
    "--pairs": {
        "nargs": "+",
        "action": "extend",
        "metavar": "DIR",
        "help": "folders with pairs.jsonl, or GOPRO_Large, DVD or REDS as they unpack (default: out/pairs)",
    },
    "--agree": {"action": "store_true", "help": "agree to the licences of what is fetched"},
    "--dry-run": {"action": "store_true", "help": "say what would be fetched from where, and end"},
    "--mirror": {"metavar": "URL", "help": "try URL/NAME/FILE first (default: $DEBLUR_BENCH_MIRROR)"},
    "--json": {"action": "store_true", "help": "machine-readable result on standard output"},
    "--switches": {"action": "append", "metavar": "A,B", "help": "of every network; off by default"},
}


LONGEST_ARGUMENT = 1 << 17  # characters, what Linux takes
LARGEST, SMALLEST = 1e9, 1e-9  # of numbers with a fraction: shares, px, seconds, Hz
LARGEST_COUNT = 10**12
# Of whole numbers for which fewer are too many already: each costs a thread, a process, a pair or a picture's memory.
MOST = {"workers": 1024, "threads": 1024, "batch": 1 << 16, "crop": 1 << 15, "height": 1 << 16, "width": 1 << 16}
MOST |= {"blurs": 100_000, "seed": (1 << 63) - 1, "repeats": 100_000, "max_interp": 1 << 20}


def shown(number: float) -> str:
    """A number for a sentence, short even if it is long."""
    text = str(number)
    return text if len(text) <= 24 else f"{number:.3g}" if abs(number) < 1e300 else f"one of {len(text)} digits"


class BadArguments(ValueError):
    """A command line that cannot be understood. Exit code 2."""


class Failure(Exception):
    """Work that was begun and failed. Exit code 1."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean a, b or c?" with the known names closest to a wrong one, "" if none is close."""
    spelled = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), spelled, n=3)
    *others, last = [spelled[other] for other in close] or [""]
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if last else ""


def unknown(beginning: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist.

    beginning: what comes before the name, such as "there is no recipe".

    >>> unknown("there is no recipe", "gopro_lik", ["mean", "gopro_like"])
    "there is no recipe 'gopro_lik'; there are mean, gopro_like; did you mean gopro_like?"
    """
    names = list(known)
    listing = f"; there are {', '.join(names)}" if names else "; there are none"
    return f"{beginning} {name!r}{listing}{did_you_mean(name, names)}"


def listed(groups: Iterable[str] | None) -> list[str]:
    """Comma-separated values of a flag that may be repeated; each once, in order."""
    return list(dict.fromkeys(name for group in groups or () for name in group.split(",") if name))


def versions_line() -> str:
    """The project's version and commit, and the versions of Python and of the libraries; nothing is imported for it."""
    parts = [f"{PROJECT} {_project_version()}", f"commit {provenance.commit()}"]
    parts.append(f"Python {sys.version.split()[0]}")
    for shown, packages in LIBRARIES:
        for package in packages:
            with suppress(PackageNotFoundError):
                parts.append(f"{shown} {version(package)}")
                break
    return ", ".join(parts)


def _project_version() -> str:
    """That of this checkout; what is installed may be another one."""
    try:
        with (provenance.ROOT / "pyproject.toml").open("rb") as file:
            return str(tomllib.load(file)["project"]["version"])
    except (OSError, ValueError, KeyError):
        try:
            return version(PROJECT)
        except PackageNotFoundError:
            return "unknown"


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(versions_line())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """argparse with --version, examples under the help, and one sentence (BadArguments) in place of the usage.

    examples: command lines that the help ends with.
    """

    def __init__(self, *, examples: Sequence[str] = (), epilog: str | None = None, **settings: Any) -> None:
        lines = "\n".join(f"  {example}" for example in examples)
        texts = [epilog or "", f"examples:\n{lines}" if examples else ""]
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(epilog="\n\n".join(text for text in texts if text) or None, **settings)
        self.add_argument("--version", action=_Version, nargs=0, help="say the versions and end")

    def shared(self, *flags: str, **changes: Any) -> None:
        """Add flags of SHARED, which mean the same in every command; changes: another default, or more in its help."""
        for flag in flags:
            self.add_argument(flag, **{**SHARED[flag], **changes})

    def error(self, message: str) -> NoReturn:
        raise BadArguments(message if message.endswith("?") else f"{message}; see --help")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        words = [str(word) for word in (sys.argv[1:] if args is None else args)]
        for action in self._actions:
            if _has_commands(action) and words and words[0] in (action.choices or ()):
                # Straight to the command: argparse would look for its flags among this parser's, too.
                namespace = namespace or argparse.Namespace()
                if action.dest != argparse.SUPPRESS:
                    setattr(namespace, action.dest, words[0])
                return dict(action.choices or {})[words[0]].parse_known_args(words[1:], namespace)
        # First of all: a misspelt flag would leave its value behind as a command, or a needed one missing.
        wrong = self._misspelt(words)
        if not wrong:
            found, wrong = super().parse_known_args(words, namespace)
        if wrong:
            near = did_you_mean(wrong[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(wrong)}{near}")
        return found, []

    def _misspelt(self, words: Sequence[str]) -> list[str]:
        """Words that look like flags and are none of this parser's, up to the command of a sub-parser."""
        commands = {name for action in self._actions if _has_commands(action) for name in action.choices or ()}
        found = []
        for word in words:
            if word == "--" or word in commands:
                break
            flag = word.partition("=")[0]
            if flag.startswith("--") and not any(known.startswith(flag) for known in self._option_string_actions):
                found.append(word)
        return found

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if len(arg_string) > LONGEST_ARGUMENT:
            raise argparse.ArgumentError(action, f"it has {len(arg_string)} characters, {LONGEST_ARGUMENT} at most")
        value = super()._get_value(action, arg_string)
        for number in value if isinstance(value, tuple | list) else (value,):
            if not isinstance(number, bool) and isinstance(number, int | float):
                self._require_sane(action, number)
        return value

    def _require_sane(self, action: argparse.Action, number: float) -> None:
        """Errors: argparse.ArgumentError for a number that nobody means: not finite, or out of every use."""
        most = MOST.get(action.dest, LARGEST_COUNT if isinstance(number, int) else LARGEST)
        if not math.isfinite(number):
            raise argparse.ArgumentError(action, f"a finite number is needed, got {number}")
        if abs(number) > most:
            raise argparse.ArgumentError(action, f"a number up to {most:g} is expected, got {shown(number)}")
        if number and abs(number) < SMALLEST:
            raise argparse.ArgumentError(action, f"0, or a number from {SMALLEST:g} up, is expected, got {number:g}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        if _has_commands(action):
            raise argparse.ArgumentError(None, unknown("there is no command", str(value), choices))
        near = did_you_mean(str(value), choices)
        raise argparse.ArgumentError(action, f"invalid choice: {value!r} (choose from {', '.join(choices)}){near}")


def _has_commands(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def loading() -> None:
    """Called by an entry script before its imports, which take seconds: Ctrl-C ends them, --version needs none."""
    catch()
    if sys.argv[1:] == ["--version"]:
        sys.exit(run(Parser(prog=sys.argv[0]), lambda _: FINE, None))
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what Apple's GPU lacks is done on the CPU


def run(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    *,
    name: str | None = None,
    failures: tuple[type[Exception], ...] = (),
    refusals: tuple[type[Exception], ...] = (),
    interrupted: str = "interrupted",
    out: Path | str | None = None,
    resume: bool = False,
) -> int:
    """Do a command's work; returns its exit code, with one sentence on stderr for every expected error.

    argv: None is that of the process. name: at the beginning of each sentence, the script's by default.
    failures: errors that mean exit code 1. refusals: errors besides ValueError that mean 2, such as OSError where a
    command only reads the files it is given. A full disk is always 1, an OSError with a sentence of ours always 2.
    interrupted: what Ctrl-C leaves behind. out: where the command writes if --out does not say so, for errors
    that name no file. resume: whether a command that the disk stopped goes on with --resume.
    """
    if signal.getsignal(signal.SIGINT) is end_loading:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    name = name or Path(parser.prog).name
    arguments = argparse.Namespace()
    failed: tuple[type[Exception], ...] = (Failure, *failures)
    expected: tuple[type[Exception], ...] = (ValueError, OSError, *refusals)
    try:
        try:
            arguments = parser.parse_args(argv)
            code = work(arguments)
        except SystemExit:  # --help and --version
            sys.stdout.flush()
            raise
        sys.stdout.flush()  # a closed pipe is seen here, not while Python ends
        return code
    except failed as error:
        return complain(name, error, FAILED)
    except KeyboardInterrupt:
        return complain(name, interrupted, INTERRUPTED)
    except RecursionError:
        return complain(name, "the input is nested too deeply", REFUSED)
    except MemoryError as error:
        return complain(name, f"there is not enough memory ({error})", FAILED)
    except expected as error:
        if isinstance(error, BrokenPipeError) and _drop_closed_pipes():
            return FAILED
        if not isinstance(error, OSError) or error.errno is None:  # a sentence of ours
            return complain(name, error, REFUSED)
        where = error.filename or getattr(arguments, "out", None) or out or "a file"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            rest = "; go on with --resume" if resume else ""
            return complain(name, f"{where}: the disk is full: {error.strerror}{rest}", FAILED)
        sentence = f"{where}: {error.strerror or error}"
        if isinstance(error, refusals):
            return complain(name, sentence, REFUSED)
        return complain(name, sentence, FAILED)
    except Exception as error:
        if type(error).__module__ != "cv2":
            raise
        return complain(name, f"OpenCV cannot work with this input ({opencv_reason(error)})", FAILED)


def opencv_reason(error: Exception) -> str:
    """What OpenCV says, without the place in its source code."""
    text = " ".join(str(getattr(error, "err", "") or error).split())
    return text.rpartition(") ")[2][:160] or "it says no more"


def complain(name: str, error: object, code: int = FAILED) -> int:
    """Print one sentence on stderr, with the command's name before it; returns the exit code."""
    try:
        sys.stdout.flush()
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        _drop_closed_pipes()
    return code


_noted: set[str] = set()


def note(sentence: str) -> None:
    """Print "note: ..." on stderr, the same sentence once in a process: what a user should know and need not mend."""
    if sentence not in _noted:
        _noted.add(sentence)
        with suppress(BrokenPipeError):
            print(f"note: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def _drop_closed_pipes() -> bool:
    """Send what nobody reads any more (`| head`) nowhere; False if it was another pipe that closed."""
    closed = [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
    for stream in closed:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(closed)


def _is_closed(stream: TextIO) -> bool:
    """Whether the reader at a stream's other end is gone."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stream in memory
        return False
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
