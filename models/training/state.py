"""Networks and optimisers as tensors and back, so that a resumed training goes on to the last bit on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.recipes import Recipe
from models.training.discriminators import Discriminator


def optimiser_of(module: nn.Module, stage: Recipe) -> torch.optim.Optimizer:
    """The stage's optimiser over all parameters; each group's "factor" says how its rate relates to the recipe's."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        factor = next((share for start, share in stage.slow if name.startswith(start)), 1.0)
        groups.setdefault(factor, []).append(parameter)
    listed = [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]
    rate, decay = stage.learning_rate, stage.weight_decay
    if stage.optimiser == "sgd":
        return torch.optim.SGD(listed, lr=rate, weight_decay=decay, foreach=False)
    kind = torch.optim.AdamW if stage.optimiser == "adamw" else torch.optim.Adam
    return kind(listed, lr=rate, betas=stage.betas, weight_decay=decay, foreach=False)


def channels_last(module: nn.Module) -> nn.Module:
    """The layout of weights in which a step on a CPU takes a tenth less time; StyleGAN2's, of rank 5, have none."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return module


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"] if group["factor"] != 1.0 else rate


def freeze(module: nn.Module, named: tuple[str, ...], frozen: tuple[str, ...], only: tuple[str, ...] = ()) -> None:
    """Of the parameters whose names begin like `named`, those that begin like `frozen` learn nothing, the others do.

    named: the beginnings that any stage of the recipe freezes. Parameters that no stage names stay as they were built:
    those of highres-mlfa's first stage are frozen then. only: where the network has such
    parameters, all others are frozen.
    """
    if only and not any(name.startswith(only) for name, _ in module.named_parameters()):
        only = ()
    for name, parameter in module.named_parameters():
        if name.startswith(named):
            parameter.requires_grad_(not name.startswith(frozen) and (not only or name.startswith(only)))


def bypass(module: nn.Module, parts: tuple[str, ...]) -> None:
    """Parts of these names are passed over, all others that can be are not: those with `passed_over`, EDVR's fusion."""
    for name, part in module.named_modules():
        if hasattr(part, "passed_over"):
            part.passed_over = name in parts  # type: ignore[assignment]


def update_average(average: dict[str, Tensor], module: nn.Module, decay: float) -> None:
    """Move the average of a network's state towards what it is now; 0 copies it. Counters are always copied."""
    for key, value in module.state_dict().items():
        if value.is_floating_point() and decay:
            average[key].lerp_(value.detach(), 1 - decay)
        else:
            average[key].copy_(value.detach())


def pack(
    module: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    opponents: dict[str, Discriminator],
) -> dict[str, Tensor]:
    """Everything that a training needs to go on, by name."""
    state = {f"weights.{key}": value for key, value in module.state_dict().items()}
    state |= {f"average.{key}": value for key, value in average.items()}
    state |= _moments(optimiser, "adam.")
    for name, opponent in opponents.items():
        state |= {f"{name}.{key}": value for key, value in opponent.module.state_dict().items()}
        if opponent.terms.score_pool:
            state[f"pool-{name}"] = opponent.pool
        state |= _moments(opponent.optimiser, f"adam-{name}.")
    return state


def unpack(
    state: dict[str, Tensor],
    module: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    opponents: dict[str, Discriminator],
) -> None:
    """Put it back."""
    module.load_state_dict(_section(state, "weights."))
    for key, value in _section(state, "average.").items():
        average[key].copy_(value)
    _set_moments(optimiser, state, "adam.")
    for name, opponent in opponents.items():
        opponent.module.load_state_dict(_section(state, f"{name}."))
        if opponent.terms.score_pool:
            opponent.pool = state[f"pool-{name}"].to(opponent.pool.device)
        _set_moments(opponent.optimiser, state, f"adam-{name}.")


def _moments(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimiser's tensors under `<prefix><number of the parameter>.<name>`."""
    return {
        f"{prefix}{index}.{name}": value
        for index, moments in optimiser.state_dict()["state"].items()
        for name, value in moments.items()
        if isinstance(value, Tensor)
    }


def _set_moments(optimiser: torch.optim.Optimizer, state: dict[str, Tensor], prefix: str) -> None:
    """Put them back."""
    content = optimiser.state_dict()
    content["state"] = {}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        if f"{prefix}{index}.step" not in state:
            continue  # a layer that has not been run yet, or never is
        # In the memory layout of the parameter, as Adam makes them: sums over another layout round differently.
        content["state"][index] = {
            name: torch.empty_like(parameter, device="cpu").copy_(state[f"{prefix}{index}.{name}"])
            for name in ("exp_avg", "exp_avg_sq")
        } | {"step": state[f"{prefix}{index}.step"]}
    optimiser.load_state_dict(content)


def _section(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
