"""What a network is to the rest of the project: its builder, its image interface and the facts about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from core.key_layouts import KeyLayout

if TYPE_CHECKING:
    from torch import Tensor, nn

# (images [B, 3, H, W] in the network's range, multiple_of, smallest_px) -> padded, and where the images begin in them:
# row, column.
Padding = Callable[["Tensor", int, int], "tuple[Tensor, int, int]"]
# (network, blur, sharp) -> pairs of what the network gives and what it should give, both in [0, 1], [B, 3, h, w].
# blur and sharp: [B, T, 3, H, W], RGB in [0, 1]; T = 1 for networks that look at one frame.
Outputs = Callable[["nn.Module", "Tensor", "Tensor"], "list[tuple[Tensor, Tensor]]"]

RESTORER_TASKS = ("deblur", "video-deblur", "restore", "sr2", "sr4", "video-sr4", "face")
PART_TASKS = ("flow", "interpolation", "discriminator", "features")
SCALES = {"sr2": 2, "sr4": 4, "video-sr4": 4}  # tasks whose output is larger than the input

# Authors' habits that change numbers: off unless asked for, and then recorded in every row.
#   train-mode       norms take the statistics of the image (training mode at test time)
#   truncate         8-bit output cut off instead of rounded
#   self-ensemble    mean over the eight flips and rotations
#   self-ensemble-4  mean over the four that keep height and width: mirrored or not, upside down or not
#   local-converter  global pooling replaced by windows of 1.5 times the training crop (TLC)
#   half             half precision
#   authors-tiles    the image in the tiles that the authors' test program cuts, averaged where they overlap
SWITCHES = ("train-mode", "truncate", "self-ensemble", "self-ensemble-4", "local-converter", "half", "authors-tiles")


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
class TrainingForm:
    """What training has to know about a network beside its facts."""

    outputs: Outputs | None = None  # None: as its facts say (models/nets/adapters.py, by_shape)
    # Names of the convolutions whose result is added to the blurred image, or of their weights where another parameter
    # of them must stay. A recipe that starts at the blurred image sets them to zero.
    residual: tuple[str, ...] = ()
    # A recurrent network's frames one by one, for an optimiser step after each: (network, frame [B, 3, H, W], state or
    # None) -> restored frame and a state without gradient, both in RGB and [0, 1].
    step: Callable[[Callable[..., Any], Tensor, Any], tuple[Tensor, Any]] | None = None
    motion: str = ""  # name of a layer that tells the motion as LOSSES["motion"] compares it; "": none does


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A part of a network that trained weights can be given for: `models/train.py --backbone FILE`."""

    part: str  # the sub-module's name
    what: str  # whose weights these are, in words: "a classifier"
    # (tensors of the file, the part) -> those under the part's keys; None: they have these keys.
    convert: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] | None = None
    stays: bool = False  # it is not trained any more: the stages of a recipe that would do so are left out


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One entry of `models.zoo.MODELS`: all that the rest of the project knows about a network.

    A variant is made by `dataclasses.replace`, a tiny one for tests by `with_tiny`.
    """

    name: str
    task: str  # of RESTORER_TASKS or PART_TASKS
    build: Callable[[], nn.Module]  # the authors' module unchanged: their inputs, outputs, keys
    # (spec, module) -> the Method around it, one of models/nets/adapters.py; None: a part (flow, discriminator, ...),
    # which restores nothing.
    adapter: Callable[[ModelSpec, nn.Module], Method] | None
    frames: int  # frames the network looks at per output; 1 for a still network
    multiple_of: int  # both sides must divide by it inside the network; the adapter pads
    padding: str | Padding = "reflect"  # how: a mode of layers.pad_to_multiple, or a function of the network's own
    smallest_px: int = 1  # sides inside the network are at least this long
    value_range: tuple[float, float]
    bgr: bool = False  # the network takes and gives the channels in this order
    weights: tuple[Weights, ...]
    layouts: tuple[KeyLayout, ...] = ()  # other names of the layers, in files that other programs wrote
    recipe: str  # default training recipe, a key of models.recipes.RECIPES; "" if it is not trained unless one is named
    training: TrainingForm = TrainingForm()
    backbone: Backbone | None = None
    parts: tuple[Backbone, ...] = ()  # further ones, given by their names: --backbone PART=FILE
    source: str  # paper and repository
    published: str  # the method's name in reports/published.csv; "" if it has no row there
    parity: tuple[str, ...] = ()  # fixtures that build() must reproduce (tests/fixtures/parity/NAME.json)
    # The recipe of the quick profile where the published one needs more than it offers (weights of other networks, a
    # discriminator's many steps); "" the same, None: it is not trained there unless a recipe is named.
    quick_recipe: str | None = ""
    switches: tuple[str, ...] = ("truncate", "self-ensemble", "half")  # those of SWITCHES that make sense for it
    # Switch "local-converter": (module, window height, window width in image pixels) exchanges the module's global
    # pooling for windows, in place.
    localise: Callable[[nn.Module, int, int], None] | None = None
    side_px: int = 0  # the one side of square images that it is trained on; 0: any
    # A discriminator that sees images of one side alone, made for another one than the published.
    build_for: Callable[[int], nn.Module] | None = None
    study: bool = False  # it is there for a study of its parts (benchmark/studies), and no restorer that `all` means
    in_all: bool = True  # `--methods all` means it; False: it takes part where it is named
    tiny: ModelSpec | None = None  # its small twin for tests, an entry of MODELS of its own

    def adapt(self, module: nn.Module) -> Method:
        """The Method around a module that build() gave. Errors: ValueError for a part of other networks."""
        if self.adapter is None:
            raise ValueError(f"{self.name} is a part of other networks ({self.task}), it restores nothing")
        return self.adapter(self, module)

    def with_tiny(
        self,
        name: str,
        build: Callable[[], nn.Module],
        *,
        recipe: str | None = None,
        multiple_of: int | None = None,
        frames: int | None = None,
        side_px: int | None = None,
        adapter: Callable[[ModelSpec, nn.Module], Method] | None = None,
    ) -> ModelSpec:
        """The same entry with a tiny twin, `name`: for tests, without weights and published figures.

        What is not given is that of this entry.
        """
        twin = replace(
            self,
            name=name,
            build=build,
            adapter=adapter or self.adapter,
            frames=self.frames if frames is None else frames,
            multiple_of=self.multiple_of if multiple_of is None else multiple_of,
            side_px=self.side_px if side_px is None else side_px,
            weights=(),
            recipe=self.recipe if recipe is None else recipe,
            source=self.source + " (tiny variant for tests, not the published network)",
            published="",
            parity=(),
        )
        return replace(self, tiny=twin)

    def knows(self, switch: str) -> bool:
        """Whether a switch makes sense for it; a mean over four poses does where one over eight does."""
        return switch in self.switches or (switch == "self-ensemble-4" and "self-ensemble" in self.switches)

    @property
    def scale(self) -> int:
        """The output's height and width over the input's."""
        return SCALES.get(self.task, 1)

    def recipe_for(self, profile: str) -> str:
        """The recipe of a profile where the user names none; "" if it is not trained then."""
        return self.recipe if profile != "quick" or self.quick_recipe == "" else self.quick_recipe or ""

    def __post_init__(self) -> None:
        if self.task not in RESTORER_TASKS + PART_TASKS:
            raise ValueError(f"{self.name}: task {self.task!r} is not one of {', '.join(RESTORER_TASKS + PART_TASKS)}")
        if (self.adapter is None) != (self.task in PART_TASKS):
            raise ValueError(f"{self.name}: a restorer has an adapter, a part has none; its task is {self.task!r}")
        if (self.localise is None) != ("local-converter" not in self.switches):
            raise ValueError(f"{self.name}: the switch 'local-converter' and localise() need each other")
        unknown = set(self.switches) - set(SWITCHES)
        if self.task == "face" and set(self.switches) - {"truncate"}:
            # Faces are found and put back in whole, upright frames; the other switches are for one pass of a network.
            raise ValueError(f"{self.name}: a restorer of faces knows no switch but truncate, got {self.switches}")
        if unknown:
            raise ValueError(f"{self.name}: no switch is called {sorted(unknown)}; there are {', '.join(SWITCHES)}")
