"""The conditions of make_pairs.py select: what they mean, and that nothing else is understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.selection import condition

KEYS = {"ghost": float, "extent": float, "still": bool, "sequence": str, "degradations": list, "settings": dict}
PAIRS = [
    {"ghost": 0.01, "extent": 12.0, "still": False, "sequence": "a", "degradations": []},
    {"ghost": 0.2, "extent": 3.0, "still": False, "sequence": "b", "degradations": ["jpeg"]},
    {"ghost": None, "extent": 50.0, "still": True, "sequence": "ab", "degradations": ["noise", "jpeg"]},
]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ghost < 0.05", [0]),
        ("ghost < 0.05 and not still", [0]),
        ("ghost<5e-2 or still", [0, 2]),
        ("2 < extent < 40", [0, 1]),
        ("2 < extent <= 12 and extent >= 12.0", [0]),
        ("extent > 2 and (ghost > .1 or still)", [1, 2]),
        ("still or ghost < 0.05 and extent > 100", [2]),  # and before or
        ("not (still or extent < 5)", [0]),
        ("not not still", [2]),
        ("~still & extent > 5 | sequence == 'b'", [0, 1]),
        ('sequence == "a"', [0]),
        ("sequence != 'a'", [1, 2]),
        ("sequence in ('a', 'ab')", [0, 2]),
        ("sequence not in ['a']", [1, 2]),
        ("'jpeg' in degradations", [1, 2]),
        ("'jpeg' not in degradations", [0]),
        ("'b' in sequence", [1, 2]),
        ("extent in (3, 50)", [1, 2]),
        ("still == false", [0, 1]),
        ("still == True", [2]),
        ("ghost == 0.2", [1]),
        ("ghost != 0.2", [0, 2]),  # what is not known is different
        ("ghost > -1", [0, 1]),
        ("0.05 > ghost", [0]),
        ("extent > 1e999", []),
    ],
)
def test_what_conditions_mean(text: str, kept: list[int]) -> None:
    meets = condition(text, KEYS)
    assert [index for index, pair in enumerate(PAIRS) if meets(pair)] == kept


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "ghost", "1", "ghost >", "> 1", "ghost > 1 and", "ghost = 1", "ghost + 1 > 2", "ghost > 1)",
        "(ghost > 1",
        "no_such > 1", "ghost > 'x'", "sequence < 1", "still > 1", "settings == 1", "degradations == 'x'", "1 in ghost",
        "ghost.real > 1", "ghost.__class__ == 1", "__import__('os').system('true')", "open('x')", "@x", "ghost > 1; x",
        "`ghost` > 1", "lambda: 1", "[x for x in ghost]", "ghost if still else 1", "f'{ghost}'", "not", "and",
        "sequence in ()",
        "sequence in 'a', 'b'", "(" * 200 + "still" + ")" * 200, "not " * 3000 + "still", "still and " * 3000 + "still",
        "'a' 'b'", "ghost > 1 extent", "ghost > 1\x00", "ghost > 0x10", "ghost > 1_000", "ghost > 1e9999",
    ],
)  # fmt: skip
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        condition(text, KEYS)
    assert len(str(error.value)) < 200 and "\n" not in str(error.value)


def test_a_misspelt_key_is_guessed() -> None:
    with pytest.raises(ValueError, match="no key 'extend'; did you mean extent"):
        condition("extend > 1", KEYS)


def test_nothing_runs(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for text in (
        f"@pd.io.common.os.mkdir('{target}')",
        f"__import__('os').mkdir('{target}')",
        f"sequence.str.len().to_csv('{target}')",
        f"ghost > @__builtins__['open']('{target}', 'w')",
    ):
        with pytest.raises(ValueError, match=r"."):
            condition(text, KEYS)
    assert not target.exists()
