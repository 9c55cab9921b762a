"""A recipe's digest: as it was when digests were first taken, and unmoved by fields that come later."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from models.recipes import Adversary, Augmentation, Features, Recipe
from models.training.checkpoint import digest_of
from models.training.facts import FIRST, facts_of, plain
from synth.live_exposures import LiveSettings

ONE = Recipe(name="one", profile="paper", source="nobody", losses=(("l1", 1.0),), batch=4, crop_px=64)
TERMS = Adversary(discriminator="deblurgan-discriminator", loss="wgan", weight=0.5)
WHOLE = replace(
    ONE,
    name="whole",
    stages=(
        replace(ONE, adversary=TERMS, features=Features(weight=1.0, layers=("conv3_3",))),
        replace(
            ONE,
            adversary=replace(TERMS, r1=10.0),
            augmentation=Augmentation(noise=0.01),
            live=LiveSettings(noise=0.5),
        ),
    ),
)


def test_digests_are_those_of_older_trainings() -> None:
    """Computed before `FIRST` was written down: digest_of(_facts(...)) of models/training/plan.py at commit 5ed3dac."""
    assert digest_of(facts_of(ONE)) == "e63b9c45"
    assert digest_of(facts_of(WHOLE)) == "aad3e3a6"


def test_a_new_field_says_nothing_at_its_default() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Later(Recipe):
        invented: float = 0.0

    values = {field.name: getattr(ONE, field.name) for field in fields(ONE)}
    assert facts_of(Later(**values)) == facts_of(ONE)
    assert facts_of(Later(**values, invented=2.0)) == facts_of(ONE) | {"invented": 2.0}
    assert facts_of(replace(ONE, source="somebody else")) == facts_of(ONE)


def test_first_fields_are_said_at_their_defaults() -> None:
    """In every case, even where they say nothing new: a part as it was, whatever its default becomes."""
    for part in (TERMS, Augmentation(), LiveSettings(), Features(weight=1.0, layers=("conv3_3",))):
        assert set(FIRST[type(part).__name__]) <= plain(part).keys() <= {field.name for field in fields(part)}
    assert "r1" not in plain(TERMS) and plain(replace(TERMS, r1=10.0))["r1"] == 10.0
