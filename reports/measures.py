"""What the columns of a report show: the metrics of images and, beside them, the scores of a preference study."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.results import METRICS, PROTOCOLS

BT_LOG_ODDS, BT_ODDS = "bt-log-odds", "bt-odds"
PREFERENCE = "preference-study"  # protocol of a study whose images no other table has
PREFERENCE_NOTE = (
    "BT log-odds: Bradley-Terry scores of the votes of a preference study, maximum likelihood over all votes, mean "
    "zero, as benchmark/preference/fit.py gives them with their 95 % interval; there ≈ is the verdict of the range "
    "test of the Lai study at the level 0.01. BT odds: exp(score - score of the blurred input). The scores of "
    "DeblurGAN-v2's Table 4 (blurred = 1) are on another scale: they stand among the published figures and are mixed "
    "with neither."
)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A column's title, unit and direction, and how many digits are shown. of_images: computed from image files."""

    title: str
    unit: str
    higher_is_better: bool
    digits: int
    of_images: bool = True


STUDY_MEASURES: dict[str, Measure] = {
    BT_LOG_ODDS: Measure(title="BT log-odds", unit="", higher_is_better=True, digits=2, of_images=False),
    BT_ODDS: Measure(title="BT odds", unit="", higher_is_better=True, digits=2, of_images=False),
}


def measure(name: str) -> Measure:
    """The facts of a metric or of a study's score. Errors: KeyError for an unknown id."""
    if name in STUDY_MEASURES:
        return STUDY_MEASURES[name]
    entry = METRICS[name]
    digits = 2 if entry.unit == "dB" or entry.name in ("niqe", "brisque") else 4
    return Measure(title=entry.title, unit=entry.unit, higher_is_better=entry.higher_is_better, digits=digits)


def protocol_words(protocol: str) -> str:
    """What a protocol is, in a line; "" for one that this version does not know."""
    if protocol == PREFERENCE:
        return "votes on pairs of results of one image; Bradley-Terry scores, images as the study has them"
    return PROTOCOLS[protocol].title if protocol in PROTOCOLS else ""
