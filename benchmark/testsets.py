"""Official data sets by one command: `python benchmark/testsets.py list|fetch NAME|check`."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from core.command_line import loading

    loading()

from benchmark.testsets.command import main

if __name__ == "__main__":
    sys.exit(main())
