"""The bounded cache: never heavier than its limit, and what was used last stays."""

from __future__ import annotations

import random

import pytest

from tract_fs.store.bounded_cache import BoundedCache


def kept(cache: BoundedCache[int, str], count: int) -> list[int]:
    return [key for key in range(count) if key in cache]


def test_the_least_recently_used_goes_first() -> None:
    cache: BoundedCache[int, str] = BoundedCache(3)
    for key in range(3):
        cache.put(key, f"value {key}")
    assert cache.get(0) == "value 0"
    cache.put(3, "value 3")
    assert kept(cache, 5) == [0, 2, 3]
    cache.put(2, "again")
    cache.put(4, "value 4")
    assert kept(cache, 5) == [2, 3, 4]
    assert (cache.get(2), cache.get(0)) == ("again", None)


def test_a_value_put_again_weighs_once() -> None:
    cache: BoundedCache[int, str] = BoundedCache(10)
    for _ in range(5):
        cache.put(1, "a", 6)
    cache.put(2, "b", 4)
    assert kept(cache, 3) == [1, 2]
    cache.forget(1)
    cache.put(3, "c", 6)
    assert kept(cache, 4) == [2, 3]


def test_what_is_heavier_than_the_limit_is_not_kept_and_takes_no_others_place() -> None:
    cache: BoundedCache[int, str] = BoundedCache(640)
    cache.put(1, "a", 600)
    cache.put(2, "b", 641)
    assert kept(cache, 3) == [1]
    cache.put(1, "larger", 641)
    assert kept(cache, 3) == []


def test_one_as_heavy_as_the_limit_stays_alone() -> None:
    cache: BoundedCache[int, str] = BoundedCache(640)
    cache.put(1, "a", 10)
    cache.put(2, "b", 640)
    assert kept(cache, 3) == [2]
    assert cache.get(2) == "b"


@pytest.mark.parametrize("limit", [5, 64, 640, 10_000])
def test_the_newest_stay_up_to_nearly_the_limit(limit: int) -> None:
    rng, weights = random.Random(limit), list[int]()
    cache: BoundedCache[int, str] = BoundedCache(limit)
    for key in range(3000):
        weights.append(rng.randint(1, 5))
        cache.put(key, "", weights[key])
        if key % 50 == 0:
            found = kept(cache, key + 1)
            assert found == list(range(key + 1 - len(found), key + 1))
            weight = sum(weights[k] for k in found)
            assert weight <= limit
            assert len(found) == key + 1 or weight > limit - limit // 64 - 5 - 5
    cache.clear()
    assert kept(cache, 3000) == []
    cache.put(1, "a", limit)
    assert kept(cache, 2) == [1]
