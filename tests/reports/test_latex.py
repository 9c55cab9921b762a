"""The LaTeX tables: whatever stands in a name, the braces balance, the cells are counted, the text is ASCII."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmark.results import Row
from reports.latex import escaped, latex, number

NASTY = r"a_b & 50% #1 $x$ {y} ~ ^ \cmd <tag> | [z] * Köhler × ≈ 日本"
COMMON = {"testset": "t_1", "ci95_low": None, "ci95_high": None, "count": 3, "published": None, "simulated": False}


def rows() -> list[Row]:
    found = []
    for protocol in ("gopro-linear", "made_up & new"):
        for place, method in enumerate((NASTY, "[first]", "*star", "-minus", "identity")):
            value = None if place == 3 else -1.25 * place
            common = COMMON | {
                "method": method,
                "protocol": protocol,
                "title": f"Set {NASTY}",
                "trained_on": "50% & more",
            }
            found.append(
                Row(metric="psnr", value=value, **common | {"published": 31.5, "ci95_low": -6.5, "ci95_high": 2.0})
            )
            found.append(Row(metric="bt-log-odds", value=float("inf") if place == 4 else 0.5 - place, **common))
    return found


def bare(text: str) -> str:
    """The text without comments, escaped signs and command names: what is left of braces and dollars must balance."""
    text = re.sub(r"(?<!\\)%.*", "", text)
    return re.sub(r"\\([a-zA-Z]+|.)", "", text.replace("\\\\", " "))


def test_the_structure_is_balanced() -> None:
    text = latex(rows())
    assert text.isascii()
    left = bare(text)
    depth = 0
    for letter in left:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0 and left.count("$") % 2 == 0
    for sign in "#_^~":
        assert sign not in re.sub(r"\$[^$]*\$", "", left), sign
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2


def test_every_line_has_the_cells_of_its_columns() -> None:
    for body in re.findall(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", latex(rows()), re.S):
        columns = re.match(r"\{([lr]+)\}", body)
        assert columns is not None
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(lines) == 6
        for line in lines:
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns[1]) - 1
            assert not line.startswith(("[", "*")), "the line end before it would take it as its argument"


def test_signs_are_written_out() -> None:
    assert escaped("50% of a_b & c") == r"50\% of a\_b \& c"
    assert escaped("Köhler −1 × 日") == r"Kohler $-$1 $\times$ ?"
    assert escaped("\\") == r"\textbackslash{}"
    assert number(-1.256, 2) == "$-$1.26" and number(30.0, 2) == "30.00" and number(None, 2) == ""
    assert number(float("inf"), 2) == r"$\infty$"


def test_it_compiles(tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed (apt-get install texlive-latex-recommended)")
    head = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
    document = head + "\\begin{document}\n\\input{board}\n\\end{document}\n"
    (tmp_path / "board.tex").write_text(latex(rows()), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(document, encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    if "booktabs.sty' not found" in run.stdout:
        pytest.skip("booktabs is not installed (apt-get install texlive-latex-recommended)")
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull" not in run.stdout
