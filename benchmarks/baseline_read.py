"""Baseline: reading, hashing and decoding the files of a store, the same from one file, or one snapshot file.

`gather` copies every file of a store (a line of a pack each) into one file, a line each; `one` reads that file whole, takes the
SHA-256 of each line and decodes its JSON. `store` lists objects, events and packs, reads each file whole, takes the SHA-256 of each object and decodes its JSON.
`snapshot` reads one file, takes its SHA-256 and decodes its MessagePack. Prints microseconds.
"""

import json
import os
import sys
import time
from hashlib import sha256

import msgspec
import orjson


def read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    data = os.read(fd, os.fstat(fd).st_size)
    os.close(fd)
    return data


def read_store(root: str) -> int:
    found, pending = 0, [at for name in ("objects", "events", "packs") if os.path.isdir(at := f"{root}/{name}")]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(entry.path)
                    continue
                data = read(entry.path)
                for line in data.splitlines() if len(entry.name) == 64 else (data,):
                    sha256(line).hexdigest()
                    orjson.loads(line)
                    found += 1
    return found


def read_snapshot(path: str) -> int:
    data = read(path)
    body = data[65:] if data[64:65] == b"\n" else data  # behind a checksum of 64 digits
    sha256(body).hexdigest()
    msgspec.msgpack.decode(body)
    return 1


def read_one(path: str) -> int:
    lines = read(path).splitlines()
    for line in lines:
        sha256(line).hexdigest()
        orjson.loads(line)
    return len(lines)


def gather(root: str, path: str) -> None:
    with open(path, "wb") as gathered:
        for at, _, names in os.walk(root):
            for name in names if f"{root}/local" not in at and at != root else ():
                gathered.write(read(os.path.join(at, name)).rstrip(b"\n") + b"\n")


WORKS = {"snapshot": read_snapshot, "store": read_store, "one": read_one}

if __name__ == "__main__":
    if sys.argv[1] == "gather":
        gather(*sys.argv[2:])
        sys.exit()
    began = time.perf_counter()
    found = WORKS[sys.argv[1]](sys.argv[2])
    print(json.dumps({"us": (time.perf_counter() - began) * 1e6, "found": found}))
