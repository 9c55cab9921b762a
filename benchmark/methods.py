"""The methods of a benchmark: a network, a baseline without weights, or a folder of somebody else's images.

A name is read once, here, and becomes an object that knows what it is: how it is opened, what its weights are, what its
rows say of it. `folder:PATH` is scored exactly like our own results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.restoring import AreaReduced, Enlarged
from core.command_line import did_you_mean
from models.baselines import BASELINES, Baseline
from models.chosen_weights import ChosenWeights
from models.restorer import RESTORERS, open_method
from models.spec import RESTORER_TASKS, ModelSpec
from models.zoo import MODELS

if TYPE_CHECKING:
    from models.spec import Method as Restoring

DEMO = (
    "identity",
    "richardson-lucy",
    "motion-unet-small",
    "deblurgan-v2-mobilenet-dsc",
    "deblurgan-v2-mobilenet",  # trained for about a minute: the training belongs to the demo, too
)
_PREFIX = "folder:"


@dataclass(frozen=True, kw_only=True)
class _Method:
    """What every method has. asked: as the command line names it. name, task: as the tables show them.

    weights: those it works with, None as long as a network has none. switches: those of models/restorer.py that the run
    asks for, of networks alone.
    """

    asked: str
    name: str
    task: str = "deblur"
    weights: ChosenWeights | None = field(default_factory=ChosenWeights)
    switches: tuple[str, ...] = ()

    def check(self) -> None:
        """Errors: ValueError if the method can take no part in a run."""

    @property
    def looks_at_clips(self) -> bool:
        """Whether it looks at several frames; others get every scored image as a still."""
        return False

    def notes(self, scale: int = 1) -> tuple[list[str], list[str]]:
        """What was done beside the plain thing, for the column `switches`: in the training, and when restoring.

        scale: how many times larger than its input the protocol wants an image.
        """
        return list(self.weights.switches) if self.weights else [], ["bicubically enlarged first"] if scale > 1 else []

    def flags(self) -> list[str]:
        """The flags of run.py that concern this method alone and go before the folders."""
        return []

    def weights_flag(self) -> list[str]:
        """The flag that names its weights file."""
        return []


@dataclass(frozen=True, kw_only=True)
class NetworkMethod(_Method):
    """A network of models/zoo.py, and what a run asks of it.

    tile: see models/restorer.py. given: the file of --weights. retrain: kept weights will not do. problem: why
    its weights cannot be used, where that is no reason to stop (run.py --check).
    """

    spec: ModelSpec
    tile: int | None = None
    given: Path | None = None
    retrain: bool = False
    problem: str = ""

    def check(self) -> None:
        if self.spec.task not in RESTORER_TASKS:
            raise ValueError(f"{self.name} is a part of other networks ({self.spec.task}), it restores nothing")

    @property
    def looks_at_clips(self) -> bool:
        return self.spec.frames > 1

    def notes(self, scale: int = 1) -> tuple[list[str], list[str]]:
        found = [*self.switches]
        found += [f"tiles of {self.tile} px"] if self.tile else []
        if self.spec.scale != scale:
            found += [f"x{self.spec.scale}, area-reduced"] if self.spec.scale > 1 else []
            found += ["bicubically enlarged first"] if scale > 1 else []
        return super().notes()[0], found

    def flags(self) -> list[str]:
        words = ["--retrain"] if self.retrain else []
        words += ["--switches", ",".join(self.switches)] if self.switches else []
        return words + (["--tile", str(self.tile)] if self.tile else [])

    def weights_flag(self) -> list[str]:
        return [f"--weights={self.name}={self.given.name}"] if self.given else []  # the name only, as of folders

    def open(self, device: str, scale: int = 1) -> Restoring:
        """Ready to restore, its output scale times the input's size. Errors: ValueError, RuntimeError, OSError."""
        path = self.weights.path if self.weights else None
        opened = open_method(self.name, path, device, self.switches, self.tile or "none")
        if self.spec.scale == scale:
            return opened
        opened = opened if self.spec.scale == 1 else AreaReduced(opened, self.spec.scale)
        return opened if scale == 1 else Enlarged(opened, scale)


@dataclass(frozen=True, kw_only=True)
class BaselineMethod(_Method):
    """A method of models/baselines.py, which has no weights."""

    baseline: Baseline

    def open(self, device: str, scale: int = 1) -> Restoring:
        """Ready to restore, its output scale times the input's size."""
        opened = open_method(self.name, None, device)
        return opened if scale == 1 else Enlarged(opened, scale)


@dataclass(frozen=True, kw_only=True)
class FolderMethod(_Method):
    """Images that somebody else restored. Its name is the folder's."""

    folder: Path

    def check(self) -> None:
        if not self.folder.is_dir():
            raise ValueError(f"{self.asked}: the folder {self.folder} does not exist")


Method = NetworkMethod | BaselineMethod | FolderMethod  # there are no others


def method_called(text: str) -> Method | None:
    """What a name or `folder:PATH` means; None for an unknown one. Nothing else reads a method's name."""
    if text.startswith(_PREFIX):
        folder = Path(text.removeprefix(_PREFIX))
        weights = ChosenWeights(origin="elsewhere")
        return FolderMethod(asked=text, name=folder.resolve().name, folder=folder, weights=weights)
    if text in BASELINES:
        return BaselineMethod(asked=text, name=text, task=BASELINES[text].task, baseline=BASELINES[text])
    if text in MODELS:
        return NetworkMethod(asked=text, name=text, task=MODELS[text].task, spec=MODELS[text], weights=None)
    return None


def expand_methods(asked: Sequence[str]) -> tuple[Method, ...]:
    """The methods of `all`, `demo` and single names, each once, in order. `all`: see ModelSpec.in_all.

    Errors: ValueError that lists what there is.
    """

    known = [*BASELINES, *RESTORERS]
    every = [*BASELINES, *(name for name in RESTORERS if MODELS[name].in_all)]
    groups = {"all": every, "demo": list(DEMO)}
    methods = []
    for text in dict.fromkeys(other for name in asked for other in groups.get(name, [name])):
        method = method_called(text)
        if method is None:
            near = did_you_mean(text, ["all", "demo", *known])
            raise ValueError(f"unknown method {text!r}; there are all, demo, {', '.join(known)} and folder:PATH{near}")
        methods.append(method)
    if not methods:
        raise ValueError(f"--methods names no method; there are all, demo, {', '.join(known)} and folder:PATH")
    shown = [method.name for method in methods]
    if twice := sorted({name for name in shown if shown.count(name) > 1}):
        raise ValueError(f"two methods would be called {twice[0]!r} in the tables; rename the folder")
    return tuple(methods)


def networks(methods: Iterable[Method]) -> list[NetworkMethod]:
    """The networks among them."""
    return [method for method in methods if isinstance(method, NetworkMethod)]


def every_network() -> Iterator[NetworkMethod]:
    """All of models/zoo.py, parts included."""
    for name, spec in MODELS.items():
        yield NetworkMethod(asked=name, name=name, task=spec.task, spec=spec, weights=None)
