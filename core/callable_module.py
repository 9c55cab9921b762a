"""A module that is also the function it is named after: `from models import restore`, then `restore(image)`.

An entry script such as models/restore.py is a module of its package already, so the package cannot give that name to a
function as well: whichever was imported last would win. Called, the module does what its function does.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(module: str, function: Callable[..., Any]) -> None:
    """Let `module(...)` do what `function(...)` does; the signature of the module is the function's.

    >>> make_callable("core.callable_module", len)
    >>> sys.modules["core.callable_module"]((1, 2, 3))
    3
    """

    class Called(ModuleType):
        def __call__(self, *arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

        __call__.__doc__ = function.__doc__

    own = sys.modules[module]
    own.__class__ = Called
    own.__dict__["__signature__"] = inspect.signature(function)
