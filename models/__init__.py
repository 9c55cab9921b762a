"""Restore an array: `from models import restore`, then `restore(image)`; `load` keeps a network for many images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.restore import Network as Network
    from models.restore import load as load
    from models.restore import restore_array as restore  # at run time it is the module, which can be called

__all__ = ["Network", "load", "restore"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: `import models` must not take the seconds that torch takes.
    if name in ("Network", "load"):
        from models import restore

        return getattr(restore, name)
    raise AttributeError(f"module 'models' has no attribute {name!r}")
