"""All discriminators of a stage: one for whole images and, for faces, one each for the eyes and the mouth."""

from __future__ import annotations

import torch
from torch import Tensor

from models import training_processes
from models.face_boxes import COMPONENTS
from models.training_adversary import Discriminator
from models.training_faces import crops_of
from models.training_stages import PlannedStage


class Opponents:
    """whole: None where the stage has none. components: by name, empty unless the stage has terms of faces."""

    def __init__(self, stage: PlannedStage, seed: int, device: torch.device) -> None:
        self.recipe = stage.recipe
        # Its start depends on the seed alone: a resumed run comes here too.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adversary, faces = stage.recipe.adversary, stage.recipe.faces
            self.whole = Discriminator(adversary, device, stage.crop_px) if adversary else None
            self.components = {name: Discriminator(faces.component, device) for name in COMPONENTS if faces}

    @property
    def named(self) -> dict[str, Discriminator]:
        """Each with a name of its own, for the saved state."""
        found = {"discriminator": self.whole} if self.whole else {}
        return found | {f"discriminator-{name}": one for name, one in self.components.items()}

    def update(self, seen: list[tuple[Tensor, ...]], rate: float, step: int) -> dict[str, float]:
        """Every discriminator's steps on what the network gave: its loss, by the name in the log.

        seen: (restored, sharp) of every part of the batch, and the boxes of components. rate: the network's learning
        rate, of which each has its share. step: of the stage.
        """
        losses: dict[str, float] = {}
        for name, opponent in self.named.items():
            share = opponent.terms.learning_rate / self.recipe.learning_rate
            batches = [self._shown(name, *part) for part in seen]
            losses[f"loss/{name}"] = opponent.update(batches, rate * share, step)
            training_processes.average_buffers(opponent.module)
        return losses

    def _shown(self, name: str, restored: Tensor, sharp: Tensor, *boxes: Tensor) -> tuple[Tensor, Tensor]:
        if name == "discriminator":
            return restored, sharp
        component = name.removeprefix("discriminator-")
        with torch.no_grad():
            return crops_of(restored, boxes[0])[component], crops_of(sharp, boxes[0])[component]
