"""The configuration of a synthesis run: what decides its bytes, checked once, before anything is written.

`--interp auto`: the factor that puts virtual frames at most 1 px apart, told from the motion in the sources.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from core.camera_response import CameraResponse, response
from core.command_line import unknown
from core.high_dynamic_range import DYNAMIC_RANGES, DynamicRange
from core.video import VideoSource, open_source
from synth.continuity import continuity
from synth.degrade import DEGRADATIONS
from synth.degrade.base import Degradation, require_order
from synth.doubled_frames import WithoutDoubles
from synth.exposure import Exposure, require_duty, require_window
from synth.gaps_in_torch import ON_THE_CPU, torch_device
from synth.interp import INTERPOLATORS
from synth.interp.base import Interpolator
from synth.interp.flow import TIERS, Flow
from synth.interp.rife import RifeRecursive
from synth.manifest import LAYOUTS, SPLITS, sequence_names
from synth.recipes import RECIPES, SynthesisRecipe, recipe, require_agreement
from synth.scenes import SceneFrames, default_scenes
from synth.sensor import HIGHLIGHTS, CameraModel, require_camera

LARGEST_SIDE_PX = 32_767  # OpenCV's remap counts positions in 16 bits
DEFAULT_WINDOW = 11
MAX_FACTOR = 1024
BITS = (8, 16)
DEFAULT_SHARD_PAIRS = 256  # about 0.7 GB at 1280x720


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """What is asked for.

    Errors: ValueError, one sentence that lists what exists, for a name or number that cannot work.
    """

    videos: tuple[Path, ...] = ()  # video files or folders of frames; none: the embedded default
    fps: float | None = None  # Hz; None: the source's own
    factor: int = 16  # steps of a gap between two captured frames
    windows: tuple[int, ...] = (DEFAULT_WINDOW,)  # captured frames
    stride: int | None = None  # captured frames between windows; None: the window
    response: str = "srgb"
    recipe: str = "trapezoid"
    interpolator: str = "flow"  # "none" where the factor is 1
    layout: str = "flat"
    split: str = "train"
    limit: int | None = None  # None: all pairs
    seed: int = 0
    duty: float = 1.0  # open share of the window's time
    camera: str = "none"
    bits: int = 8  # of the blurred images
    row_delay_s: float = 0.0  # a rolling shutter's time from one row to the next
    degradations: tuple[str, ...] = ()
    shard_pairs: int = DEFAULT_SHARD_PAIRS  # pairs in a tar of --layout webdataset
    device: str = "cpu"  # "cpu" (numba), or "cuda" or "torch-cpu" (`synth.gaps_in_torch`)
    drop_duplicates: bool = False  # frames that repeat the one before them are left out
    deinterlace: bool = False  # frames of two fields are made whole ones

    def __post_init__(self) -> None:
        if not 1 <= self.factor <= MAX_FACTOR:
            raise ValueError(f"the interpolation factor lies between 1x and {MAX_FACTOR}x, got {self.factor}x")
        if not self.windows:
            raise ValueError("at least one window is needed, an odd number of captured frames such as 11")
        for window in self.windows:
            require_window(window)
        if self.stride is not None and self.stride < 1:
            raise ValueError(f"the stride between windows is at least 1 captured frame, got {self.stride}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"the limit is at least 1 pair, got {self.limit}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"the frame rate is a positive number of frames a second, got {self.fps:g}")
        if self.fps is not None and not self.videos:
            raise ValueError("--fps goes with --video; the embedded default is 240 fps by construction")
        if (self.drop_duplicates or self.deinterlace) and not self.videos:
            raise ValueError("--drop-duplicates and --deinterlace go with --video; rendered scenes need neither")
        _require_known("recipe", self.recipe, RECIPES)
        _require_known("layout", self.layout, LAYOUTS)
        _require_known("split", self.split, SPLITS)
        if (self.interpolator == "none") != (self.factor == 1):
            raise ValueError(f"a factor of {self.factor} does not go with the interpolator {self.interpolator!r}")
        if self.factor > 1:
            _require_known("interpolator", self.interpolator, INTERPOLATORS)
        require_duty(self.duty)
        if not 0 <= self.row_delay_s < float("inf"):
            raise ValueError(f"the delay from row to row is 0 s or more, got {self.row_delay_s:g}")
        if self.bits not in BITS:
            raise ValueError(f"the blurred images have 8 or 16 bits, got {self.bits}")
        if self.shard_pairs < 1:
            raise ValueError(f"a shard holds at least 1 pair, got {self.shard_pairs}")
        for name in self.degradations:
            _require_known("degradation", name, DEGRADATIONS)
        if len(set(self.degradations)) < len(self.degradations):
            raise ValueError(f"a degradation is named twice: {', '.join(self.degradations)}")
        require_order([DEGRADATIONS[name] for name in self.degradations])
        self._require_agreement()

    def _require_agreement(self) -> None:
        chosen = RECIPES[self.recipe]()
        require_agreement(
            chosen,
            windows=self.windows,
            factor=self.factor,
            stride=self.stride,
            response=self.response,
            duty=self.duty,
        )
        linear = [name for name in self.degradations if DEGRADATIONS[name].domain == "linear"]
        if linear and chosen.averages_encoded:
            raise ValueError(
                f"the recipe {self.recipe} averages pixel values as they are, and {linear[0]} needs light; leave it "
                "out, or choose --recipe mean with a --response"
            )
        if require_camera(self.camera).name != "none" and chosen.averages_encoded:
            raise ValueError(
                f"the recipe {self.recipe} averages pixel values as they are, and a camera needs light; leave --camera "
                "out, or choose --recipe mean with a --response"
            )


@dataclass(frozen=True, kw_only=True)
class Clip:
    """An opened source, its name in this set, and its frame rate (Hz)."""

    sequence: str
    source: VideoSource
    fps: float


@dataclass(frozen=True, kw_only=True)
class SynthesisPlan:
    """A configuration with everything it names opened and checked. interpolator: None where the factor is 1."""

    config: SynthesisConfig
    recipe: SynthesisRecipe
    response: CameraResponse
    interpolator: Interpolator | None
    clips: tuple[Clip, ...]
    camera: CameraModel

    @property
    def degradations(self) -> tuple[Degradation, ...]:
        """What happens to the blurred image, in order."""
        return tuple(DEGRADATIONS[name] for name in self.config.degradations)

    @property
    def twin(self) -> CameraResponse | None:
        """The curve of the second blurred image, where the recipe makes one."""
        return response(self.recipe.twin_response) if self.recipe.twin_response else None

    @property
    def also(self) -> tuple[CameraResponse, ...]:
        """What else is summed over every window beside the light: under another curve, or clipped highlights."""
        twin = (self.twin,) if self.twin else ()
        return (*twin, HIGHLIGHTS) if self.camera.highlights else twin

    @property
    def dynamic_range(self) -> DynamicRange | None:
        """How light of HLG or PQ is brought into the range of the images that are written; None for other curves."""
        return DYNAMIC_RANGES.get(self.config.response)

    @property
    def truth_known(self) -> bool:
        """Can the blur of a rendered scene be compared with the true one? That is light over a whole window."""
        return self.config.duty == 1.0 and not self.recipe.averages_encoded

    def exposure(self, window: int, clip: Clip) -> Exposure:
        """The exposure of a window of so many captured frames of a clip.

        Errors: ValueError if a rolling shutter reads rows outside the window.
        """
        config = self.config
        return Exposure(
            frames=window,
            factor=config.factor,
            profile=self.recipe.profile,
            duty=config.duty,
            row_delay=config.row_delay_s * clip.fps * config.factor,
            rows=clip.source.height if config.row_delay_s else 1,
        )

    def notes(self) -> list[str]:
        """What was decided about the sources, and one sentence for every clip that is not captured as the recipe's own
        frames were.
        """
        published = self.recipe.capture_fps
        return [note for clip in self.clips for note in clip.source.notes] + [
            f"{clip.sequence}: captured at {clip.fps:g} fps, the set of {self.recipe.name} at {published:g}; a window "
            f"lasts {published / clip.fps:.3g} times as long as there"
            for clip in self.clips
            if published is not None and abs(clip.fps / published - 1) > 0.01
        ]

    def identity(self) -> dict[str, object]:
        """What decides the bytes of the set, for run.json and for telling two configurations apart."""
        values = asdict(self.config)
        values.pop("videos"), values.pop("fps")
        if self.config.layout != "webdataset":
            values.pop("shard_pairs")
        if self.config.device == "cpu":  # elsewhere images may differ by 1/255
            values.pop("device")
        for switch in ("drop_duplicates", "deinterlace"):
            if not values[switch]:
                values.pop(switch)
        values["windows"] = list(self.config.windows)
        values["profile"] = self.recipe.profile
        values["response_sha256"] = self.response.digest
        values["weights_sha256"] = (self.interpolator.weights_sha256 or None) if self.interpolator else None
        values["degradations"] = list(self.config.degradations)
        values["recipe_source"], values["camera_source"] = self.recipe.source, self.camera.source
        values["twin_response"] = self.recipe.twin_response
        values["published_duty"] = self.recipe.published_duty
        values["unverified"] = [*self.recipe.unverified, *(f"camera {text}" for text in self.camera.unverified)]
        values["truth_known"] = self.truth_known
        values["sources"] = [
            {
                "sequence": clip.sequence,
                "source": clip.source.location,
                "fps": clip.fps,
                "height": clip.source.height,
                "width": clip.source.width,
                "fingerprint": clip.source.fingerprint,
                **({"even": True} if clip.source.taken_as_even else {}),
            }
            for clip in self.clips
        ]
        return values


def make_plan(config: SynthesisConfig) -> SynthesisPlan:
    """Open every source and check it, and load the interpolator's weights, before the first is processed.

    Errors: ValueError, one sentence, naming the source, the weights file or the name that cannot be used.
    """
    sources = _sources(config)
    config = _with_told_response(config, sources)
    curve = response(config.response)
    interpolator = INTERPOLATORS[config.interpolator]() if config.factor > 1 else None
    if config.device not in ON_THE_CPU and isinstance(interpolator, Flow | RifeRecursive):
        interpolator.use(torch_device(config.device))
    if interpolator and not interpolator.any_factor and config.factor & (config.factor - 1):
        raise ValueError(
            f"{config.interpolator} halves gaps: --interp is a power of two such as 8x or 16x, got {config.factor}x"
        )
    clips = []
    for source, sequence in zip(sources, sequence_names(source.name for source in sources), strict=True):
        if source.fps is None:
            raise ValueError(
                f"{source.location}: nothing tells the frame rate; say it with --fps, for example --fps 240"
            )
        if max(source.height, source.width) > LARGEST_SIDE_PX:
            raise ValueError(
                f"{source.location}: frames of {source.width} x {source.height} px; a side has {LARGEST_SIDE_PX} px at "
                "most here (OpenCV's limit), make them smaller or cut them"
            )
        _require_frames(source, min(config.windows))
        clips.append(Clip(sequence=sequence, source=source, fps=source.fps))
    plan = SynthesisPlan(
        config=config,
        recipe=recipe(config.recipe, config.factor),
        response=curve,
        interpolator=interpolator,
        clips=tuple(clips),
        camera=require_camera(config.camera),
    )
    for clip in clips:
        for window in config.windows:
            plan.exposure(window, clip)
    return plan


def _sources(config: SynthesisConfig) -> list[VideoSource]:
    """Every source of a configuration, opened. Errors: ValueError, one sentence, for one that cannot be used."""
    if not config.videos:
        # A recipe that averages pixel values needs frames that were encoded before.
        encoding = response("srgb" if RECIPES[config.recipe]().averages_encoded else config.response)
        return [SceneFrames(clip, encoding) for clip in default_scenes(config.split, config.seed)]
    sources: list[VideoSource] = []
    for path in config.videos:
        source = open_source(path, config.fps, deinterlace=config.deinterlace)
        sources.append(WithoutDoubles(source) if config.drop_duplicates else source)
    return sources


def _with_told_response(config: SynthesisConfig, sources: Sequence[VideoSource]) -> SynthesisConfig:
    """The configuration with the curve that its sources name, HLG or PQ, in place of the default.

    Errors: ValueError if another curve is asked for, or if the sources name different ones: their light would be wrong.
    """
    told = {source.transfer for source in sources}
    if told == {""}:
        return config
    named = sorted(told - {""})
    if len(told) > 1:
        raise ValueError(
            f"some of the sources are {' and '.join(name.upper() for name in named)} and others are not; make a set of "
            "each kind"
        )
    if RECIPES[config.recipe]().averages_encoded:
        raise ValueError(
            f"the recipe {config.recipe} averages pixel values as they are, and those of the video are "
            f"{named[0].upper()}; choose --recipe mean, or convert the video to an ordinary one first"
        )
    if config.response not in ("srgb", named[0]):
        raise ValueError(
            f"the video says that its values are {named[0].upper()}, and the response {config.response} was asked for; "
            f"use --response {named[0]}, or convert the video to an ordinary one first"
        )
    if RECIPES[config.recipe]().response not in (None, named[0]):
        raise ValueError(
            f"the recipe {config.recipe} takes values as {RECIPES[config.recipe]().response}, and those of the video "
            f"are {named[0].upper()}; choose another recipe, or convert the video to an ordinary one first"
        )
    return replace(config, response=named[0])


def differences(old: dict[str, object], new: dict[str, object]) -> list[str]:
    """ "key: old -> new" for every entry in which two configurations (of `SynthesisPlan.identity`) differ."""
    found = []
    for key in dict.fromkeys([*old, *new]):
        if key == "sources" and old.get(key) != new.get(key):
            found += _source_differences(old.get(key), new.get(key))
        elif old.get(key) != new.get(key):
            found.append(f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}")
    return found


def parse_factor(text: str) -> int:
    """16 from "16x" or "16". Errors: ValueError."""
    match = re.fullmatch(r"(\d{1,6})[xX]?", text.strip())
    if match is None:
        raise ValueError(f"--interp takes a whole factor such as 16x, got {text!r}")
    return int(match[1])


def parse_list(values: Sequence[str] | None) -> list[str]:
    """The items of a flag that takes comma-separated lists and may be repeated."""
    return [item for value in values or () for item in value.split(",") if item]


def parse_paths(values: Sequence[str] | None) -> tuple[Path, ...]:
    """The same for paths, where a comma may belong to a name: what exists as it stands is one path."""
    found: list[Path] = []
    for value in values or ():
        found += [Path(value)] if Path(value).exists() else [Path(item) for item in value.split(",") if item]
    return tuple(found)


def _require_frames(source: VideoSource, window: int) -> None:
    """Errors: ValueError if the clip is known to be shorter than the smallest window."""
    frames = source.frame_count
    if frames is None and source.frames_promised is not None and source.frames_promised < window + 3:
        frames = sum(1 for _ in source.frames(lambda index: False, []))  # promises may be off by a frame: count them
    if frames is not None and frames < window:
        raise ValueError(
            f"{source.location}: the clip has {frames} frames, fewer than the window of {window}; "
            "choose a smaller --window or leave the clip out"
        )


def _require_known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ValueError(unknown(f"there is no {what}", name, known))


def _source_differences(old: object, new: object) -> list[str]:
    before, after = (sources if isinstance(sources, list) else [] for sources in (old, new))
    if [source.get("source") for source in before] != [source.get("source") for source in after]:
        return [
            f"sources: {_short([source.get('source') for source in before])} -> "
            f"{_short([source.get('source') for source in after])}"
        ]
    return [
        f"{key} of {second.get('source')}: {_short(first.get(key))} -> {_short(second.get(key))}"
        for first, second in zip(before, after, strict=True)
        for key in second
        if first.get(key) != second.get(key)
    ]


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


PROBED_GAPS = 24  # a clip, spread over its length
PROBE_EVERY = 16  # gaps, where a clip's length is not known
SPEED_PERCENTILE = 99.0
DEFAULT_MOST = 64


def auto_factor(clips: Iterable[Clip], most: int, *, power_of_two: bool) -> int:
    """One factor for all clips: their fastest motion (99th percentile over a frame, px per gap), rounded up.

    Some gaps of every clip are looked at, cuts left out. At least 2, at most `most`.
    Errors: ValueError if `most` is below 2.
    """
    if most < 2:
        raise ValueError(f"--max-interp is at least 2, got {most}")
    speed = max((clip_speed_px(clip) for clip in clips), default=0.0)
    factor = max(2, math.ceil(speed))
    if power_of_two:
        factor = 1 << (factor - 1).bit_length()
        most = 1 << (most.bit_length() - 1)
    return min(factor, most)


def clip_speed_px(clip: Clip) -> float:
    """The fastest motion found in some gaps of a clip. Units: px per gap."""
    flow = Flow(TIERS["fast"])
    count = clip.source.frame_count or clip.source.frames_promised
    every = max(1, (count - 1) // PROBED_GAPS) if count else PROBE_EVERY
    fastest = 0.0
    previous: np.ndarray | None = None
    for index, frame in enumerate(clip.source.frames(lambda index: index % every < 2, [])):
        if previous is not None and frame is not None and index % every == 1 % every:
            state = continuity(previous, frame)
            if not state.cut and not state.repeated:
                motion_px = flow.motion(previous, frame)
                lengths = np.hypot(motion_px[::4, ::4, 0], motion_px[::4, ::4, 1])
                fastest = max(fastest, float(np.percentile(lengths, SPEED_PERCENTILE)))
        previous = frame
    return fastest
