"""What the doctor says: one line a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """level: "ok", "warn" (the run works, its figures need a remark) or "fail" (mend it first)."""

    level: str
    check: str
    sentence: str

    def line(self) -> str:
        """One line, whatever the sentence holds."""
        return f"{self.level:<4}  {self.check}: {' '.join(self.sentence.split())}"


def ok(check: str, sentence: str) -> Finding:
    return Finding(level="ok", check=check, sentence=sentence)


def warn(check: str, sentence: str) -> Finding:
    return Finding(level="warn", check=check, sentence=sentence)


def fail(check: str, sentence: str) -> Finding:
    return Finding(level="fail", check=check, sentence=sentence)
