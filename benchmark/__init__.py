"""Score arrays: `from benchmark import score`, then `score(restored, sharp, "gopro-linear")`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.score import score_arrays as score  # at run time it is the module, which can be called

__all__ = ["score"]
