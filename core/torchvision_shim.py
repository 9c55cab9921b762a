"""Importing torchvision beside a PyTorch it was not built for (its usual wheel beside a CPU-only PyTorch).

torchvision registers shape functions for its compiled operators `nms` and `qnms` on import. Where its compiled library
cannot be loaded (no CUDA runtime), those operators do not exist and the import ends with "operator torchvision::nms
does not exist", although all that the metrics need, plain network definitions, works without them. Declaring the two
operators first, without any implementation, lets the import pass; calling them fails with torchvision's own message.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_lock = threading.Lock()
_kept: list[object] = []  # the declarations vanish with the Library object


def ensure_torchvision() -> None:
    """Make `import torchvision` (and of libraries that import it) work; does nothing where it works already.

    Errors: ImportError if torchvision is not installed.
    """
    with _lock:
        if "torchvision" in sys.modules or _kept:
            return
        spec = importlib.util.find_spec("torchvision")
        if spec is None or spec.origin is None:
            raise ImportError("the package torchvision is not installed")
        if not _compiled_library_loads(Path(spec.origin).parent):
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for schema in _SCHEMAS:
                library.define(schema)
            _kept.append(library)


def _compiled_library_loads(folder: Path) -> bool:
    """Load torchvision's compiled operators as its own import would."""
    import torch

    for path in sorted((*folder.glob("_C*.so"), *folder.glob("_C*.pyd"))):
        try:
            torch.ops.load_library(str(path))
        except (ImportError, OSError):
            continue
        return True
    return False
