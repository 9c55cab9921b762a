"""Memory: how much is free, how much a restoration takes, and keeping what was freed at hand for the next buffer."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_BLOCK = 256 << 20
_KEPT = 1 << 30
_LARGEST_NUMBER = (1 << 31) - 1  # that mallopt takes


def keep_freed_memory(largest_block: int = _LARGEST_BLOCK, kept: int = _KEPT) -> None:
    """Ask glibc not to hand blocks of up to 256 MiB back to the system whenever they are freed.

    largest_block, kept: other limits in bytes, of one block and of what is kept unused; at most 2 GiB count.

    A gap at 1280x720 takes and frees some 100 MB of buffers; mapping and clearing those pages anew was a tenth of its
    time (docs/log, 6). The peak does not grow: what is kept is used again. Elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, min(largest_block, _LARGEST_NUMBER))
    mallopt(_TRIM_THRESHOLD, min(kept, _LARGEST_NUMBER))
    mallopt(_ARENA_MAX, 1)


CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Memory that can be taken now: of the GPU, or of the machine within the limit of its container."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    return cpu_bytes()


def cpu_bytes() -> int:
    """Memory of the machine that can be taken now, within the limit of its container."""
    return min(_machine_bytes(), _container_bytes())


def _machine_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _container_bytes() -> int:
    """What the container's limit leaves; all there could be where it has none. Cached files count as free."""
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CONTROL_GROUP / "memory.current").read_text(encoding="ascii"))
        for line in (CONTROL_GROUP / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith("inactive_file "):
                used -= int(line.split()[1])
    except (OSError, ValueError):  # no container, another kind of one, or "max"
        return 1 << 62
    return max(limit - used, 0)
