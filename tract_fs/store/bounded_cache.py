"""A cache bounded by the weight of what it holds; the least recently used goes first."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A mapping that drops the least recently used items once the weights exceed `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._items: dict[K, tuple[V, int]] = {}

    def get(self, key: K) -> V | None:
        """Returns the value of `key`, which is then the most recently used, or None."""
        item = self._items.get(key)
        if item is None:
            return None
        if 2 * self._weight > self._limit:  # below that, the order does not matter
            self._items[key] = self._items.pop(key)
        return item[0]

    def __contains__(self, key: K) -> bool:
        return key in self._items

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keeps a value; drops old ones if not all fit."""
        if key in self._items:
            self.forget(key)
        if weight > self._limit:
            return
        self._items[key] = (value, weight)
        self._weight += weight
        if self._weight > self._limit:
            self._make_room()

    def _make_room(self) -> None:
        """Drops the oldest items, in a large cache 1/64 more than needed.

        A walk to the oldest item of a dict passes the holes of all items removed before it.
        """
        most = self._limit - self._limit // 64
        gone: list[K] = []
        for key, (_, weight) in self._items.items():
            if self._weight <= most or len(gone) + 1 == len(self._items):
                break
            self._weight -= weight
            gone.append(key)
        for key in gone:
            del self._items[key]

    def forget(self, key: K) -> None:
        """Forgets one key."""
        item = self._items.pop(key, None)
        if item is not None:
            self._weight -= item[1]

    def share(self, other: BoundedCache[K, V]) -> None:
        """Holds what another cache of the same limit holds."""
        self._items, self._weight = dict(other._items), other._weight

    def clear(self) -> None:
        """Forgets everything."""
        self._items.clear()
        self._weight = 0
