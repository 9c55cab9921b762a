"""Which tensors of a file are a network's: wrappers and prefixes seen through, the running average before the weights.

Training programs put a network's weights into dicts ("state_dict", "params") and behind prefixes ("module." of
DataParallel, "_orig_mod." of torch.compile, "netG.", "generator_ema." of a program with several networks), in any
nesting. Every such set of tensors is compared with the network's keys and shapes, from the descriptions alone; only the
values of the one that fits are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.command_line import note
from core.torch_files import StoredTensor
from core.weights_files import (
    WRAPPERS,
    AnotherNetwork,
    Differences,
    WeightsFile,
    as_own,
    differences,
    open_weights,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

# Names that stand for the whole network at the beginning of a key, in any case of letters.
SEGMENTS = {
    "module", "_orig_mod", "model", "_model", "net", "network", "net_g", "netg", "g", "generator", "restorer",
    "deblurnet", "student", "online_model", "params", "state_dict", "_forward_module", "backbone_model",
}  # fmt: skip
AVERAGE = re.compile(r"(?:^|_)(?:ema|averaged?|swa|avg)(?:_|\d|$)|^ema|ema$", re.IGNORECASE)
# What programs leave in a state dict that is no weight: counts of operations by thop, of steps, of averages.
BESIDE = {"total_ops", "total_params", "step_counter", "n_averaged", "num_updates", "decay", "global_step", "epoch"}
FLOATING = ("float64", "float32", "float16", "bfloat16")
AVERAGED_COUNT = "n_averaged"  # beside "module." in torch.optim.swa_utils.AveragedModel


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A set of tensors that may be the network's. names: what leads to it, dicts first, then prefixes of its keys.

    others: first parts of the keys beside it that begin otherwise: other networks of the training program.
    """

    names: tuple[str, ...]
    averaged: bool
    tensors: dict[str, StoredTensor]
    others: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return ".".join(self.names) or "the file's own level"


def load_fitting(
    module: nn.Module,
    path: Path,
    name: str,
    renamed: Callable[[dict[str, Tensor], Path], dict[str, Tensor]],
) -> None:
    """Give a network the tensors of a file that are its own, strictly: every key, every shape.

    name: of the network, for sentences. renamed(state, path): brings known other layouts to the network's keys.
    Missing counters of batches are filled in. A running average is preferred, and a note on stderr says so.
    Errors: FileNotFoundError; AnotherNetwork (a ValueError) with the differences of the set that is nearest; ValueError
    as `open_weights`, and where two sets fit that are not the same.
    """
    opened = open_weights(path)
    own = module.state_dict()
    chosen = _chosen(opened, module, own, name, renamed)
    state = as_own(module, own, renamed(opened.load(chosen.tensors, compared=True), path))
    module.load_state_dict({key: state[key] for key in own}, strict=True)


def _chosen(
    opened: WeightsFile,
    module: nn.Module,
    own: dict[str, Tensor],
    name: str,
    renamed: Callable[[dict[str, Tensor], Path], dict[str, Tensor]],
) -> _Candidate:
    path = opened.path
    fitting: list[_Candidate] = []
    nearest: tuple[int, Differences] | None = None
    near_average: tuple[_Candidate, Differences] | None = None
    refusals: list[ValueError] = []
    for candidate in _candidates(opened):
        try:
            found = _differences(module, own, candidate, path, renamed)
        except ValueError as error:  # of the layout: the file was put together from two networks
            refusals.append(error)
            continue
        if not found:
            fitting.append(candidate)
            continue
        wrong = len(found.missing) + len(found.reshaped) + len(found.left_over)
        if nearest is None or wrong < nearest[0]:
            nearest = (wrong, found)
        if candidate.averaged and len(found.missing) + len(found.reshaped) < len(own) / 2:
            near_average = (candidate, found)
    if not fitting:
        if refusals or nearest is None:
            raise refusals[0]
        raise AnotherNetwork(path, name, nearest[1])
    fitting.sort(key=_rank)  # a stable order: of equals the first
    chosen = fitting[0]
    for other in fitting[1:]:
        if _rank(other)[:2] == _rank(chosen)[:2] and not _same(chosen, other):
            raise ValueError(
                f"{path}: it holds two networks that fit {name}, {chosen.title} and {other.title}; save one of them "
                "alone, and use that file"
            )
    for key, tensor in chosen.tensors.items():
        if tensor.problem:
            opened.load({key: tensor})  # says what is wrong
        if key in own and own[key].is_floating_point() and tensor.kind not in FLOATING:
            raise ValueError(
                f"{path}: {key!r} holds {tensor.kind} values where the network has float32; quantised weights are not "
                "read, save them as float32"
            )
    if chosen.averaged and any(not other.averaged for other in fitting):
        note(f"{path.name}: the running average ({chosen.title}) is taken, not the weights beside it")
    elif near_average is not None and not chosen.averaged:
        average, found = near_average
        note(f"{path.name}: its running average ({average.title}) is left out, it does not fit: {found.summary()}")
    used = {part for other in fitting for part in other.names}
    if strangers := [part for part in chosen.others if part not in BESIDE and part not in used]:
        note(f"{path.name}: of {chosen.title} alone are the weights of {name}; left out: {', '.join(strangers)}")
    return chosen


def _rank(candidate: _Candidate) -> tuple[bool, int, int]:
    known = (WRAPPERS.index(part) for part in candidate.names if part in WRAPPERS)
    return (not candidate.averaged, min(known, default=len(WRAPPERS)), len(candidate.names))


def _same(one: _Candidate, other: _Candidate) -> bool:
    """Whether two sets are the same values of the file."""
    return set(one.tensors.values()) == set(other.tensors.values())


def _candidates(opened: WeightsFile) -> Iterator[_Candidate]:
    for names, tensors in opened.sets:
        averaged = any(AVERAGE.search(part) for part in names)
        for prefix in _prefixes(tensors):
            inner = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            parts = tuple(prefix.split(".")[:-1])
            counted = AVERAGED_COUNT in tensors and parts[:1] == ("module",)
            yield _Candidate(
                names=(*names, *parts),
                averaged=averaged or counted or any(AVERAGE.search(part) for part in parts),
                tensors=inner,
                others=tuple(dict.fromkeys(key.partition(".")[0] for key in tensors if not key.startswith(prefix))),
            )


def _prefixes(tensors: Mapping[str, StoredTensor]) -> list[str]:
    """The runs of SEGMENTS and names of averages that keys begin with, the empty one too; shorter ones first."""
    found: dict[str, None] = {"": None}
    for key in tensors:
        place = 0
        while (end := key.find(".", place)) >= 0 and end < 120:
            part = key[place:end].lower()
            if part not in SEGMENTS and not (AVERAGE.search(part) and len(part) < 24):
                break
            place = end + 1
            found[key[:place]] = None
    return sorted(found, key=lambda prefix: prefix.count("."))


def _differences(
    module: nn.Module,
    own: dict[str, Tensor],
    candidate: _Candidate,
    path: Path,
    renamed: Callable[[dict[str, Tensor], Path], dict[str, Tensor]],
) -> Differences:
    """How a set differs from what the network needs, from the shapes alone: nothing is allocated.

    What stands beside weights (BESIDE) is taken out of the candidate.
    """
    import torch

    for key in [key for key in candidate.tensors if key.rpartition(".")[2] in BESIDE and key not in own]:
        del candidate.tensors[key]
    shapes = {key: torch.empty(value.shape, device="meta") for key, value in candidate.tensors.items()}
    best: Differences | None = None
    for prefix in ("", "generator."):  # a layout is known by a key with the prefix that was taken off
        state = renamed({f"{prefix}{key}": value for key, value in shapes.items()}, path)
        try:
            found = differences(own, as_own(module, own, state))
        except (RuntimeError, ValueError, LookupError, TypeError):  # a form that the network does not know
            found = differences(own, state)
        if not found:
            if prefix:
                kept = dict(candidate.tensors)
                candidate.tensors.clear()
                candidate.tensors.update({f"{prefix}{key}": value for key, value in kept.items()})
            return found
        best = best or found
    assert best is not None
    return best
