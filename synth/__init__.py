"""Blur an array of frames: `from synth import blur`, then `blur(frames)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.arrays import blur as blur

__all__ = ["blur"]


def __getattr__(name: str) -> Any:
    if name == "blur":  # not before it is asked for: it needs OpenCV and, for the flow, numba
        from synth.arrays import blur

        return blur
    raise AttributeError(f"module 'synth' has no attribute {name!r}")
