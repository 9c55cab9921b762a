"""Published counts of operations, to stand beside measured ones; from reports/published.csv."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

PUBLISHED = Path(__file__).resolve().parents[1] / "reports" / "published.csv"


@dataclass(frozen=True, kw_only=True)
class PublishedMacs:
    """A published count for one image. height, width: the size that the table's reader presumed. Units: 10^9, px."""

    macs_g: float
    height: int
    width: int
    source: str

    def beside(self, measured_g: float) -> str:
        """The published count and the one measured for the presumed size."""
        share = measured_g / self.macs_g
        return f"{self.macs_g:.2f} at {self.width} x {self.height} (measured {measured_g:.2f}, {share:.2f} of it)"

    def remark(self) -> str:
        """What a reader must know about the figure."""
        return (
            f"published MACs from {self.source}: the input size is not printed there, {self.width} x {self.height} is "
            "presumed, and what is printed as FLOPs is taken as MACs; measured ones include the padding"
        )


def published_macs(path: Path = PUBLISHED) -> dict[str, PublishedMacs]:
    """By the method's published name: the first count of the table that has a presumed size."""
    found: dict[str, PublishedMacs] = {}
    with open(path, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            size = re.search(r"(\d+)x(\d+)", row["split_or_protocol"])
            if row["metric"] == "FLOPs" and row["unit"] == "G" and size and row["method"] not in found:
                found[row["method"]] = PublishedMacs(
                    macs_g=float(row["value"]), height=int(size[2]), width=int(size[1]), source=row["source"]
                )
    return found
