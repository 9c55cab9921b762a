"""The wrapper of every command line, and every entry script in a process of its own."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.command_line import SHARED, BadArguments, Failure, Parser, complain, did_you_mean, listed, run, unknown
from synth import make_pairs

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = (
    *("synth/make_pairs.py", "synth/compare.py", "models/train.py", "models/restore.py", "models/weights.py"),
    *("models/kept_weights.py", "models/face_boxes.py", "benchmark/run.py", "benchmark/score.py", "benchmark/cost.py"),
    *("benchmark/preference/serve.py", "benchmark/preference/fit.py", "reports/build.py", "reports/gains.py"),
    *("benchmark/demo.py", "benchmark/testsets.py", "benchmark/studies/synthesis_worth.py"),
    *("benchmark/studies/ablation.py", "benchmark/studies/operators.py", "benchmark/studies/throughput.py"),
    "tests/parity/__main__.py",
)


def parser() -> Parser:
    made = Parser(prog="models/tool.py", description="A tool.")
    made.add_argument("--out", type=Path)
    made.add_argument("--profile", choices=("quick", "paper"))
    return made


def raising(error: BaseException) -> int:
    def work(_: argparse.Namespace) -> int:
        raise error

    return run(parser(), work, ["--out", "there"], failures=(RuntimeError,), refusals=(FileNotFoundError,), resume=True)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("two\nlines"), 2, "two lines"),
        (BadArguments("no such flag"), 2, "no such flag"),
        (Failure("it broke"), 1, "it broke"),
        (RuntimeError("the loss is not finite"), 1, "the loss is not finite"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError("9 GB"), 1, "there is not enough memory (9 GB)"),
        (OSError("weights.pth does not exist"), 2, "weights.pth does not exist"),
        (OSError(errno.ENOENT, "No such file or directory", "a.csv"), 2, "a.csv: No such file or directory"),
        (OSError(errno.EACCES, "Permission denied", "b.png"), 1, "b.png: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), 1, "there: Input/output error"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "there: the disk is full: No space left on device; go on with --resume",
        ),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "there: Broken pipe"),  # not stdout: a worker's
    ],
)
def test_exit_codes_and_one_sentence(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == code
    assert capsys.readouterr().err == f"tool.py: {sentence}\n"


def test_an_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


def test_the_code_of_the_work_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert [run(parser(), lambda _, code=code: code, []) for code in (0, 1)] == [0, 1]
    assert complain("tool.py", "image 3 failed") == 1
    assert capsys.readouterr().err == "tool.py: image 3 failed\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--uot", "x"], "unrecognized arguments: --uot; did you mean --out?"),
        (["--profle=quick"], "unrecognized arguments: --profle=quick; did you mean --profile?"),
        (["--xyzzy"], "unrecognized arguments: --xyzzy; see --help"),
        (["extra"], "unrecognized arguments: extra; see --help"),
        (["--profile", "papers"], "argument --profile: invalid choice: 'papers' (choose from quick, paper); did you"),
        (["--out"], "argument --out: expected one argument; see --help"),
    ],
)
def test_bad_flags(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parser(), lambda _: 0, words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tool.py: {sentence}") and error.count("\n") == 1


def test_a_misspelt_flag_is_named_before_what_is_missing() -> None:
    made = Parser(prog="tool.py")
    made.add_argument("--votes", required=True)
    with pytest.raises(BadArguments, match=r"unrecognized arguments: --vots; did you mean --votes\?"):
        made.parse_args(["--vots", "a.csv"])
    assert made.parse_args(["--vot", "a.csv"]).votes == "a.csv"  # abbreviations still work
    assert made.parse_args(["--votes=--odd"]).votes == "--odd"


def test_flags_of_commands_are_suggested_from_that_command() -> None:
    made = Parser(prog="tool.py")
    made.add_argument("--interp")
    photos = made.add_subparsers(parser_class=Parser).add_parser("photos")
    photos.add_argument("--extent")
    photos.add_argument("--in")  # no abbreviation of the other parser's --interp
    assert vars(made.parse_args(["photos", "--in", "a"]))["in"] == "a"
    for words, sentence in (
        (["photos", "--extnt", "3"], "--extnt; did you mean --extent"),
        (["photo"], "there is no command 'photo'; there are photos; did you mean photos"),
        (["--intrp", "photos"], "--intrp; did you mean --interp"),
    ):
        with pytest.raises(BadArguments, match=sentence):
            made.parse_args(words)


def test_did_you_mean() -> None:
    known = ["NAFNet-32", "nafnet-64", "restormer"]
    assert did_you_mean("nafnet32", known).startswith("; did you mean NAFNet-32")
    assert did_you_mean("RESTORMER", known) == "; did you mean restormer?"
    assert did_you_mean("zzz", known) == ""
    assert did_you_mean("aab", ["aaa", "aac", "aad"]) == "; did you mean aad, aac or aaa?"
    assert unknown("no arm is called", "x", []) == "no arm is called 'x'; there are none"


def test_lists() -> None:
    assert listed(["a,b", "", "b,c"]) == ["a", "b", "c"] and listed(None) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--recipe", "gopro_lik"], "did you mean gopro_like"),
        (["--interpolator", "flow-fst"], "did you mean flow-fast"),
        (["--camera", "raw_isp"], "did you mean raw-isp"),
        (["--degrade", "bsrgn"], "did you mean bsrgan"),
        (["--response", "gama2.2"], "did you mean gamma2.2"),
        (["--layout", "gorpo"], "did you mean gopro"),
        (["verfy", "out"], "did you mean verify"),
        (["--seed", "1", "verify", "out"], "a command comes before its flags, as in make_pairs.py verify"),
    ],
)
def test_names_of_make_pairs(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_pairs.main(words) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("make_pairs.py: ") and error.count("\n") == 1


def test_make_pairs_names_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        make_pairs.main(["--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and all(f"\n    {command} " in shown for command in make_pairs.COMMANDS)


@pytest.mark.parametrize("command", make_pairs.COMMANDS)
def test_help_of_each_command_has_two_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_pairs.main([command, "--help"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: make_pairs.py {command} ")
    examples = [line for line in shown.splitlines() if line.startswith("  python synth/make_pairs.py ")]
    assert len(examples) == 2 and all(f" {command} " in line for line in examples)


def start(*words: str, **settings: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **settings,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_version_of_every_entry(entry: str) -> None:
    """It is said before anything heavy is loaded."""
    words = ["-m", "tests.parity"] if entry.startswith("tests/") else [entry]
    process = start(*words, "--version")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err, out.count("\n")) == (0, "", 1)
    assert out.startswith("deblur-bench ") and all(word in out for word in ("commit ", "Python 3.", "numpy "))


def test_these_are_all_entries() -> None:
    """Every script that can be started has the wrapper."""
    found = set()
    for package in ("core", "synth", "models", "benchmark", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "\nif __name__ == " in text:
                found.add(path.relative_to(ROOT).as_posix())
                assert "    loading()\n" in text and ("run(" in text or "import main" in text), path
    assert found == {entry for entry in ENTRIES if not entry.startswith("tests/")}


def flags_of(made: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    found = {}
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= {f"{command.prog} {flag}": other for flag, other in flags_of(command).items()}
        elif action.help != argparse.SUPPRESS:  # an older name
            found |= {f"{made.prog} {flag}": action for flag in action.option_strings}
    return found


def test_a_flag_means_the_same_everywhere() -> None:
    """The kind, the type and the placeholder of a shared flag; defaults and what a help adds are the command's own."""
    checked = 0
    for entry in ENTRIES:
        name = entry.removesuffix(".py").replace("/", ".")
        module = importlib.import_module({"benchmark.testsets": "benchmark.testsets.command"}.get(name, name))
        made = module.parser() if hasattr(module, "parser") else module._parser()
        for name, action in flags_of(made).items():
            flag = name.split()[-1]
            if flag not in SHARED or (flag == "--pairs" and "throughput" in entry):  # that of one folder
                continue
            reference = Parser(prog="reference")
            reference.shared(flag)
            other = flags_of(reference)[f"reference {flag}"]
            for what in ("nargs", "type", "metavar", "const"):
                assert getattr(action, what) == getattr(other, what), (name, what)
            assert type(action) is type(other), name
            checked += 1
    assert checked > 40


def test_the_wrapper_is_light() -> None:
    code = "import sys, core.command_line; print(sorted({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    out, err = start("-c", code).communicate(timeout=60)
    assert (out, err) == ("[]\n", "")


CHATTY = """
import sys
from core.command_line import Parser, run
def work(arguments):
    for number in range(int(arguments.lines)):
        print("line", number)
    return 0
parser = Parser(prog="chatty.py")
parser.add_argument("lines")
sys.exit(run(parser, work, None))
"""


@pytest.mark.parametrize("lines", ["3", "200000"])
def test_a_closed_pipe_is_quiet(lines: str) -> None:
    """Seen in the middle of the work, and at its end where the output fits the buffer."""
    process = start("-c", CHATTY, lines)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.wait(timeout=60), process.stderr.read()) == (1, "")


def test_a_closed_pipe_of_a_help() -> None:
    process = subprocess.run(
        f"{sys.executable} synth/make_pairs.py --help | head -1",
        shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (process.stdout.count("\n"), process.stderr) == (1, "")


def test_errors_into_a_closed_pipe() -> None:
    process = start("-c", CHATTY, "no-number")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=60) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="needs POSIX signals")
def test_interrupted_while_python_imports(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "from core.command_line import loading\nloading()\nprint('loading', flush=True)\n"
        "import time\ntry:\n    time.sleep(60)\nexcept BaseException:\n    raise ImportError('broken') from None\n"
    )
    process = start(str(script))
    assert process.stdout is not None and process.stdout.readline() == "loading\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "slow.py: interrupted\n") and time.monotonic() - started < 20


def test_interrupted_while_it_works() -> None:
    code = (
        "import sys, time\nfrom core.command_line import *\nfrom core.command_line import Parser\nloading()\n"
        "def work(_):\n    print('working', flush=True)\n    time.sleep(60)\n"
        "sys.exit(run(Parser(prog='tool.py'), work, [], interrupted='interrupted; go on with --resume'))\n"
    )
    process = start("-c", code)
    assert process.stdout is not None and process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "tool.py: interrupted; go on with --resume\n")


def test_ctrl_c_while_the_command_line_itself_is_imported() -> None:
    """From the script's first own line on, before argparse and its like are there."""
    code = "from core.interrupts import catch\ncatch()\nprint('here', flush=True)\nimport time\ntime.sleep(60)"
    process = start("-c", code)
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == "-c: interrupted\n"
