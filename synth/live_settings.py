"""What is drawn where blur is made on the fly (synth/live_exposures.py, synth/live_frames.py)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """What is drawn. Shares are between 0 and 1. Ranges are drawn evenly, those of px and noise in the logarithm."""

    side_px: int = 128  # side of the square sample
    extent_px: tuple[float, float] = (1.0, 40.0)  # greatest distance between two positions of the sample's middle
    first_extent_px: float = 40.0  # the greatest extent at the first sample; it grows to extent_px[1] ...
    growth: int = 0  # ... over so many exposures
    duration_s: tuple[float, float] = (0.008, 0.12)  # of the shake: short ones are nearly straight
    scale: tuple[float, float] = (0.45, 1.25)  # frame px per photograph px
    encoded: float = 0.5  # share averaged as plain encoded values
    frames: tuple[int, ...] = (7, 9, 11, 13, 15)  # frames of such a mean, where it is one of a few frames
    few_frames: float = 0.5  # share of the encoded means that are of few frames
    paths: float = 0.15  # share along the published random paths
    foreground: float = 0.4  # share with something in front
    second: float = 0.3  # share of those with a second cut-out
    resting: float = 0.3  # share of those whose camera rests
    parallax: float = 0.25
    rolling: float = 0.2  # share with a rolling shutter
    highlights: float = 0.2  # share of the light means with saturated lights
    soft: float = 0.15  # share of photographs that are a little out of focus, as their target is
    noise: float = 0.3
    noise_sigma: tuple[float, float] = (0.002, 0.03)
    jpeg: float = 0.2
    jpeg_quality: tuple[int, int] = (55, 97)
    candidates: int = 3  # places that a crop is chosen from, by the contrast that blur can take away

    def __post_init__(self) -> None:
        if self.side_px < 16:
            raise ValueError(f"a live sample has at least 16 px a side, got {self.side_px}")
        if not 0 < self.extent_px[0] <= self.extent_px[1] <= 100:
            raise ValueError(f"the blur's extent is LOW,HIGH with 0 < LOW <= HIGH <= 100 px, got {self.extent_px}")

    def most_px(self, number: int) -> float:
        """The greatest extent of exposure number `number`."""
        if number >= self.growth:
            return self.extent_px[1]
        share = number / self.growth
        return float(self.first_extent_px ** (1 - share) * self.extent_px[1] ** share)


USUAL = LiveSettings()
