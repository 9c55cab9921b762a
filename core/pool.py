"""Work on a pool, bounded and in order: results come in the order of the items. And the pool of a Dask cluster.

Any `concurrent.futures.Executor` will do. joblib's own generator is not used because it puts no bound on finished
results that nobody has fetched yet, and memory must not grow with the length of a clip.
"""

from __future__ import annotations

import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield function(item) for every item, in order, with at most `ahead` items handed to the pool at a time.

    Errors: what `items` or `function` raise; work not yet started is cancelled then, and when the caller stops early.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            while waiting and (len(waiting) >= ahead or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


ANSWER_S = 10
ADDRESS = re.compile(r"(tcp|tls|ws|wss)://.+:\d+")


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the cluster of a scheduler, and the number of its threads.

    Errors: ValueError, one sentence, if that is no address, no scheduler answers there or it has no workers.
    """
    if not ADDRESS.fullmatch(address):
        raise ValueError(f"--scheduler takes an address such as tcp://127.0.0.1:8786, got {address!r}")
    from distributed import Client

    try:
        client = Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"--scheduler {address}: no Dask scheduler answers there ({error or type(error).__name__}); start one with "
            "`dask scheduler` and give its address, such as tcp://127.0.0.1:8786"
        ) from None
    with client:
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise ValueError(f"--scheduler {address}: the cluster has no workers; start `dask worker {address}`")
        # Frames and motion travel with their task, and nothing else ever uses them.
        warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
        try:
            yield client.get_executor(), threads
        except (RuntimeError, ModuleNotFoundError) as error:
            if not isinstance(error, ModuleNotFoundError) and "deserialization" not in str(error):
                raise
            raise ValueError(
                f"--scheduler {address}: the scheduler or a worker cannot import this checkout; start both with the "
                "`dask` of its .venv, in which it is installed"
            ) from None
