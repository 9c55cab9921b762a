"""What a network is to the rest of the project: its builder, its image interface and the facts about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

RESTORER_TASKS = ("deblur", "video-deblur", "restore", "sr2", "sr4", "video-sr4", "face")
PART_TASKS = ("flow", "interpolation", "discriminator", "features")
SCALES = {"sr2": 2, "sr4": 4, "video-sr4": 4}  # tasks whose output is larger than the input

# Authors' habits that change numbers: off unless asked for, and then recorded in every row.
#   train-mode       norms take the statistics of the image (training mode at test time)
#   truncate         8-bit output cut off instead of rounded
#   self-ensemble    mean over the eight flips and rotations
#   local-converter  global pooling replaced by windows of 1.5 times the training crop (TLC)
#   half             half precision
#   authors-tiles    the image in the tiles that the authors' test program cuts
SWITCHES = ("train-mode", "truncate", "self-ensemble", "local-converter", "half", "authors-tiles")


class Method(Protocol):
    """Anything that restores frames: an adapted network, a baseline, a folder of somebody else's outputs."""

    def restore(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """Restore a clip; a still is a clip of one.

        Shape: each frame [3, H, W] -> [3, H, W], as many out as in, in order; [3, s H, s W] for a scale of s.
        Range: float32 RGB in [0, 1], sRGB-encoded.
        Output is clamped to [0, 1].
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A weights file of the authors: name, sha256 ("" if unknown), address to get it from, licence."""

    file: str
    sha256: str = ""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One entry of `models.zoo.MODELS`.

    build() returns the authors' module unchanged: their inputs, outputs, keys. adapt(module) gives the Method
    around it (padding, value range); a part (flow, discriminator, ...) restores nothing and has none.
    """

    name: str
    task: str
    build: Callable[[], nn.Module]
    adapt: Callable[[nn.Module], Method] | None
    frames: int  # frames the network looks at per output; 1 for a still network
    multiple_of: int  # both sides must divide by it inside the network; adapt() pads
    value_range: tuple[float, float]
    weights: tuple[Weights, ...]
    recipe: str  # default training recipe, a key of models.recipes.RECIPES; "" if it is not trained unless one is named
    source: str  # paper and repository
    published: str  # the method's name in reports/published.csv; "" if it has no row there
    parity: tuple[str, ...] = ()  # fixtures that build() must reproduce (tests/fixtures/parity/NAME.json)
    switches: tuple[str, ...] = ("truncate", "self-ensemble", "half")  # those of SWITCHES that make sense for it
    # Switch "local-converter": (module, window height, window width in image pixels) exchanges the module's global
    # pooling for windows, in place.
    localise: Callable[[nn.Module, int, int], None] | None = None
    side_px: int = 0  # the one side of square images that it is trained on; 0: any
    # A discriminator that sees images of one side alone, made for another one than the published.
    build_for: Callable[[int], nn.Module] | None = None

    @property
    def scale(self) -> int:
        """The output's height and width over the input's."""
        return SCALES.get(self.task, 1)

    def __post_init__(self) -> None:
        if self.task not in RESTORER_TASKS + PART_TASKS:
            raise ValueError(f"{self.name}: task {self.task!r} is not one of {', '.join(RESTORER_TASKS + PART_TASKS)}")
        if (self.adapt is None) != (self.task in PART_TASKS):
            raise ValueError(f"{self.name}: a restorer has adapt(), a part has none; its task is {self.task!r}")
        if (self.localise is None) != ("local-converter" not in self.switches):
            raise ValueError(f"{self.name}: the switch 'local-converter' and localise() need each other")
        unknown = set(self.switches) - set(SWITCHES)
        if self.task == "face" and set(self.switches) - {"truncate"}:
            # Faces are found and put back in whole, upright frames; the other switches are for one pass of a network.
            raise ValueError(f"{self.name}: a restorer of faces knows no switch but truncate, got {self.switches}")
        if unknown:
            raise ValueError(f"{self.name}: no switch is called {sorted(unknown)}; there are {', '.join(SWITCHES)}")
