"""Payloads: the messages and generation configs that every benchmark and every baseline writes.

The same seed gives the same bytes on every machine. Sizes are those of real messages: log-normal, median 400 bytes.
Imports nothing but the standard library.
"""

import random
from collections.abc import Iterator
from typing import Literal

MEDIAN_BYTES = 400
SPREAD = 1.0
LONGEST_CHARS = 64 * 1024
CORPUS_CHARS = 1 << 20
LONG_SHARE = 0.04
LONG_CHARS = 20_000
ROLES: tuple[Literal["user"], Literal["assistant"]] = ("user", "assistant")
DISTINCT_CONFIGS = 20
PROBE = {"probe": "the-only-one"}
VOCABULARY = (
    "the file returns an error when request reads list of items from order user wants to cancel and exchange "
    'def return self None True False import "name": {"id": 42} [1, 2.5] <tool> </tool> => != http://localhost:8080/ '
    "Größe naïve 東京 ✓ please check status payment method address\n \n\n\t"
)


def texts(count: int, *, seed: int = 1) -> list[str]:
    """Returns `count` message texts.

    Each is a slice of one seeded text that opens with its own number, so that no two are equal.
    """
    source = random.Random(seed)
    corpus = " ".join(source.choices(VOCABULARY.split(" "), k=CORPUS_CHARS // 4))[:CORPUS_CHARS]
    found = []
    for number in range(count):
        length = min(LONGEST_CHARS, max(8, int(MEDIAN_BYTES * source.lognormvariate(0.0, SPREAD))))
        start = source.randrange(len(corpus) - length)
        found.append(f"{number} {corpus[start : start + length]}")
    return found


def real_texts(count: int, *, seed: int = 1) -> Iterator[str]:
    """Yields `count` message texts of the sizes that agents' transcripts have: as `texts`, but 4 % are near 20 KB."""
    source = random.Random(seed)
    corpus = " ".join(source.choices(VOCABULARY.split(" "), k=CORPUS_CHARS // 4))[:CORPUS_CHARS]
    for number in range(count):
        if source.random() < LONG_SHARE:
            length = int(LONG_CHARS * source.uniform(0.8, 1.2))
        else:
            length = min(LONGEST_CHARS, max(8, int(MEDIAN_BYTES * source.lognormvariate(0.0, SPREAD))))
        start = source.randrange(len(corpus) - length)
        yield f"{number} {corpus[start : start + length]}"


def config(number: int) -> dict[str, object]:
    """Returns the generation config of commit `number`: one of twenty, each with its own model and temperature."""
    kind = number % DISTINCT_CONFIGS
    return {
        "max_tokens": 1024 + kind,
        "model": f"model-{kind:02d}",
        "response_format": {"type": "text"},
        "seed": kind,
        "temperature": kind / DISTINCT_CONFIGS,
        "top_p": 0.95,
    }


def config_with_probe(number: int, count: int) -> dict[str, object]:
    """Returns `config(number)`; the commit in the middle of `count` carries one field that no other has."""
    return config(number) | PROBE if number == count // 2 else config(number)
