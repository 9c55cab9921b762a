"""Ctrl-C while a command still imports its libraries, which takes seconds: one line in place of a traceback.

Nothing is imported here that takes time itself: an entry script calls `catch()` first of all.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def catch() -> None:
    """From here on Ctrl-C ends the process with one line, until `core.command_line.run` takes over."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_loading)


def end_loading(number: int, frame: FrameType | None) -> NoReturn:
    """Say that it was interrupted, and end. Not an exception: in the middle of an import some library would turn it
    into another one."""
    try:
        os.write(2, f"{os.path.basename(sys.argv[0])}: interrupted\n".encode())
    finally:
        os._exit(INTERRUPTED)
