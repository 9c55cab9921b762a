"""Bounded, ordered work on a pool: results come in the order of the items, whatever order they were finished in.

Any `concurrent.futures.Executor` will do. joblib's own generator is not used because it puts no bound on finished
results that nobody has fetched yet, and memory must not grow with the length of a clip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
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
