"""Baseline: reading, hashing and decoding the files of a store, or reading and decoding one snapshot file.

`store` lists objects, events and packs, reads each file whole, takes the SHA-256 of each object and decodes its JSON.
`snapshot` reads one file, takes its SHA-256 and decodes it. Prints microseconds.
"""

import json
import os
import sys
import time
from hashlib import sha256

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
    orjson.loads(body)
    return 1


if __name__ == "__main__":
    began = time.perf_counter()
    found = read_snapshot(sys.argv[2]) if sys.argv[1] == "snapshot" else read_store(sys.argv[2])
    print(json.dumps({"us": (time.perf_counter() - began) * 1e6, "found": found}))
