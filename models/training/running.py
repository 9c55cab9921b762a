"""Running the network that is trained: compiled or not, in mixed precision or not, with clear words where it cannot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.recipes import Recipe
from models.spec import Outputs
from models.training.discriminators import Discriminator
from models.training.stages import PlannedStage

FrameStep = Callable[[Callable[..., Any], Tensor, Any], tuple[Tensor, Any]]
COMPILERS = ("g++", "clang++", "c++")


def require_compiler(device: torch.device) -> None:
    """Errors: ValueError if torch.compile would find no C++ compiler, which it needs on a CPU."""
    named = os.environ.get("CXX", "")
    if device.type == "cpu" and not any(shutil.which(name) for name in (named, *COMPILERS) if name):
        raise ValueError(
            f"--compile needs a C++ compiler on the CPU and none of {', '.join(COMPILERS)} is here; install one, name "
            "it in the environment variable CXX, or leave --compile away"
        )


class Running:
    """Gives what `outputs` (models/nets/adapters.py, `outputs_of`) gives.

    listen_to: name of the layer that tells the motion (TrainingForm.motion), or "". motion: what it told last.
    frame_step: of a recurrent network (TrainingForm.step).
    """

    def __init__(
        self,
        module: nn.Module,
        outputs: Outputs,
        *,
        name: str,
        compiled: bool,
        precision: str,
        device: torch.device,
        listen_to: str = "",
        frame_step: FrameStep | None = None,
    ) -> None:
        self.outputs, self.name, self.mixed, self.device = outputs, name, precision != "float32", device
        self.motion: Tensor | None = None
        self.frame_step = frame_step
        if listen_to:
            module.get_submodule(listen_to).register_forward_hook(self._listen)
        self.module: Any = torch.compile(module) if compiled else module

    def _listen(self, layer: nn.Module, inputs: tuple[Tensor, ...], told: Tensor) -> None:
        self.motion = told.float()

    def __call__(self, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Errors: ValueError, one sentence, where a batch norm has too few numbers, or compiling fails."""
        try:
            with enough_numbers(self.name, blur.shape[-1], len(blur)):
                return self._run(blur, sharp)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            first = str(error).strip().partition("\n")[0]
            raise ValueError(f"{self.name} cannot be compiled here ({first}); leave --compile away") from None

    def frames(self, blur: Tensor, sharp: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A recurrent network's frames one by one, what it hands on without gradient. Errors: as `__call__`."""
        assert self.frame_step is not None
        state = None
        for frame, target in zip(blur.unbind(1), sharp.unbind(1), strict=True):
            output, state = self.frame_step(self._module_in_its_precision, frame, state)
            yield output.float(), target

    def _module_in_its_precision(self, *inputs: Any) -> Any:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed):
            return self.module(*inputs)

    def _run(self, blur: Tensor, sharp: Tensor) -> list[tuple[Tensor, Tensor]]:
        if not self.mixed:
            return self.outputs(self.module, blur, sharp)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            pairs = self.outputs(self.module, blur, sharp)
        return [(output.float(), target.float()) for output, target in pairs]


@contextmanager
def enough_numbers(name: str, crop_px: int, images: int) -> Iterator[None]:
    """Says in words of the user what torch says of a batch norm that sees one number per channel."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"{name} has a batch norm that is left with one number per channel by crops of {crop_px} px in batches of "
            f"{images}; use larger images, or --batch {2 * images} or more"
        ) from None


def require_opponents_to_run(stages: tuple[PlannedStage, ...], parts: int) -> None:
    """Every discriminator once on a black crop, before a long stage comes before it. Errors: as `enough_numbers`.

    Only where it gets its images one by one: batch norms have enough of several. parts: of a step's batch.
    """
    for stage in stages:
        if stage.recipe.adversary and stage.batch // parts == 1:
            _run_once(stage.recipe, stage.crop_px)


def _run_once(recipe: Recipe, crop_px: int) -> None:
    assert recipe.adversary is not None
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        opponent = Discriminator(recipe.adversary, torch.device("cpu"), crop_px)
        with enough_numbers(opponent.spec.name, crop_px, 1):
            opponent.scores(torch.zeros(1, 3, crop_px, crop_px))
