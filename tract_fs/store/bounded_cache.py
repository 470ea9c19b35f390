"""A cache bounded by the weight of what it holds; the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A mapping that forgets what was not used for long once the weights exceed `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()  # a dict finds its first key slowly once many went

    def get(self, key: K) -> V | None:
        """Returns the value of `key`, which is then the most recently used, or None."""
        item = self._items.get(key)
        if item is None:
            return None
        if 2 * self._weight > self._limit:  # while there is room, the order does not matter
            self._items.move_to_end(key)
        return item[0]

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Remembers a value; forgets old ones until all fit again."""
        if key in self._items:
            self.forget(key)
        if weight > self._limit:
            return
        self._items[key] = (value, weight)
        self._weight += weight
        while self._weight > self._limit:
            _, (_, oldest_weight) = self._items.popitem(last=False)
            self._weight -= oldest_weight

    def forget(self, key: K) -> None:
        """Forgets one key."""
        item = self._items.pop(key, None)
        if item is not None:
            self._weight -= item[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._items.clear()
        self._weight = 0
