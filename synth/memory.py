"""Keeping memory that was freed, so that the next gap, or the next layer of a network, finds its buffers mapped."""

from __future__ import annotations

import ctypes
import platform

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_BLOCK = 256 << 20
_KEPT = 1 << 30
_LARGEST_NUMBER = (1 << 31) - 1  # that mallopt takes


def keep_freed_memory(largest_block: int = _LARGEST_BLOCK, kept: int = _KEPT) -> None:
    """Ask glibc not to hand blocks of up to 256 MiB back to the system whenever they are freed.

    largest_block, kept: other limits in bytes, of one block and of what is kept unused; at most 2 GiB count.

    A gap at 1280x720 takes and frees some 100 MB of buffers; mapping and clearing those pages anew was a tenth of its
    time (docs/log.md 6). The peak does not grow: what is kept is used again. Elsewhere than on glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, min(largest_block, _LARGEST_NUMBER))
    mallopt(_TRIM_THRESHOLD, min(kept, _LARGEST_NUMBER))
    mallopt(_ARENA_MAX, 1)
