"""Making one pair of a set again from its source, to check that a published set is what it says it is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MinLen

from core import provenance, schema
from core.schema import Inside, Positive, Rate, Share, Text, Whole
from core.shards import member_of
from synth.exposure import Window
from synth.manifest import PairRecord, read_manifest
from synth.pair_set import Damage, Refusal, configuration_of, open_set
from synth.settings import SynthesisConfig, SynthesisPlan, make_plan
from synth.synthesis import synthesise


@dataclass(frozen=True, kw_only=True)
class _Source:
    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    sequence: Inside
    source: Text
    fps: Rate


@dataclass(frozen=True, kw_only=True)
class _Configuration:
    """What run.json says of a set, as far as a pair is made from it again."""

    __pydantic_config__: ClassVar[dict[str, object]] = schema.STRICT
    factor: Positive
    stride: Positive | None
    response: Text
    recipe: Text
    interpolator: Text
    seed: Whole
    windows: Annotated[list[Positive], MinLen(1)]
    layout: Text
    split: Text
    sources: Annotated[list[_Source], MinLen(1)]
    duty: Share = 1.0
    camera: Text = ""
    bits: Literal[8, 16] = 8
    row_delay_s: float = 0.0
    shard_pairs: Positive = 1
    device: Text = ""
    drop_duplicates: bool = False
    deinterlace: bool = False
    degradations: list[Text] = dataclasses.field(default_factory=list)
    weights_sha256: Any = None


def rebuild(key: str, folder: Path, out: Path) -> str:
    """Make the pair `key` of the set in `folder` again, as a set of one in `out`; returns one sentence about it.

    Errors: Refusal if there is no such set or pair, or its source is gone or changed; Damage if the bytes differ.
    """
    configuration: dict = configuration_of(folder)
    old = next((record for record in read_manifest(folder) if record.key == key), None)
    if old is None:
        raise Refusal(f"{folder}: there is no pair {key!r} in this set")
    if "sources" not in configuration:
        raise Refusal(f"{folder}: only pairs of video are made again one by one; repeat make_pairs.py photos")
    try:
        schema.checked(_Configuration, json.dumps(configuration))
    except ValueError as error:
        raise Refusal(f"{folder}: the configuration in its run.json is not that of a set of pairs ({error})") from None
    plan = _plan_again(configuration)
    identity = _identity(plan)
    if identity["sources"] != configuration["sources"]:
        raise Refusal(f"{old.source}: the source is not the one that the set was made from")
    if identity["weights_sha256"] != configuration.get("weights_sha256"):
        raise Refusal(f"the weights of {plan.config.interpolator} are not the ones that the set was made with")
    rebuilt = open_set(out, {**identity, "only": key}, resume=True)

    def only(sequence: str, window: Window) -> bool:
        return (sequence, window.first, window.frames) == (old.sequence, old.first_frame, old.window)

    if not rebuilt.finished:
        synthesise(plan, rebuilt, provenance.cpu_count(), only=only)
        rebuilt.finish()
    made = next((record for record in rebuilt.records if record.key == key), None)
    if made is None or _values(made) != _values(old):
        raise Damage(f"{out}: pair {key} came out different from the one in {folder}")
    return f"{out}: pair {key} made again, with the same bytes"


def _plan_again(configuration: dict) -> SynthesisPlan:
    """The plan of a set. run.json does not say whether --fps was given: where the sources alone do not lead to the same
    rates, it was. Errors: ValueError if a source cannot be used.
    """
    rates = {source["fps"] for source in configuration["sources"]}
    told = rates.pop() if len(rates) == 1 else None
    try:
        plan = make_plan(_config_again(configuration, None))
        if told is None or not plan.config.videos or _identity(plan)["sources"] == configuration["sources"]:
            return plan
    except ValueError:
        if told is None:
            raise
    return make_plan(_config_again(configuration, told))


def _identity(plan: SynthesisPlan) -> dict:
    """Through JSON, so that what is compared is what a file can hold."""
    return json.loads(json.dumps(plan.identity()))


def _values(record: PairRecord) -> dict[str, object]:
    """What must come out again: everything but the number of the shard."""
    names = ("blur", "sharp", "blur_gamma")
    return asdict(record) | {name: member_of(getattr(record, name)) for name in names}


def _config_again(configuration: dict, fps: float | None) -> SynthesisConfig:
    """The configuration of a set from its run.json, without the limit. fps: what --fps said."""
    sources = configuration["sources"]
    embedded = all(source["source"].startswith("scene:") for source in sources)
    values = {key: configuration[key] for key in ("factor", "stride", "response", "recipe", "interpolator", "seed")}
    values |= {
        key: configuration[key]
        for key in ("duty", "camera", "bits", "row_delay_s", "shard_pairs", "device", "drop_duplicates", "deinterlace")
        if key in configuration
    }
    return SynthesisConfig(
        videos=() if embedded else tuple(Path(source["source"]) for source in sources),
        fps=fps,
        windows=tuple(configuration["windows"]),
        layout=configuration["layout"],
        split=configuration["split"],
        degradations=tuple(configuration.get("degradations", ())),
        **values,
    )
