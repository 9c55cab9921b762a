"""Several processes that train one network together, as `torchrun` starts them; one alone needs nothing of this.

Every process works on its share of a step's samples, and the gradients are averaged before the optimiser's step: the
same arithmetic as torch's DistributedDataParallel, but after the whole backward pass, because networks that run several
times in a step (recurrent ones, discriminators, the gradient penalty) break its hooks (decision 013).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def rank() -> int:
    """This process's number, from 0."""
    return torch.distributed.get_rank() if _together() else int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes train together, from torchrun's environment; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_writer() -> bool:
    """Only one process writes files."""
    return rank() == 0


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process on its machine; the CPU stays the CPU."""
    if device.type != "cuda" or device.index is not None or count() == 1:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Join the other processes while training: gloo on CPUs, NCCL on GPUs. Does nothing for one process."""
    if count() == 1 or _together():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; a parameter without one anywhere keeps none."""
    if not _together():
        return
    found = [parameter for parameter in parameters if parameter.requires_grad and parameter.grad is not None]
    if not found:
        return
    gradients = [parameter.grad for parameter in found if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= count()
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def average(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, for the log and for the check whether it is finite."""
    if not _together():
        return value
    summed = value.detach().clone()
    torch.distributed.all_reduce(summed)
    return summed / count()


def average_buffers(module: nn.Module) -> None:
    """Statistics of norms: the mean over the processes, before they are saved or used."""
    if not _together():
        return
    for buffer in module.buffers():
        if buffer.is_floating_point():
            torch.distributed.all_reduce(buffer)
            buffer /= count()


def wait() -> None:
    """Until all processes are here."""
    if _together():
        torch.distributed.barrier()


def _together() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
