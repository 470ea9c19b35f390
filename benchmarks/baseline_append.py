"""Baseline: one raw append with fdatasync per commit, and nothing else.

The same bytes as the three files of a commit, made before the clock starts. Prints microseconds per append.
"""

import json
import os
import sys
import time
from itertools import pairwise

from benchmarks.baseline_raw import make
from benchmarks.payloads import texts

if __name__ == "__main__":
    path, count = sys.argv[1], int(sys.argv[2])
    logs, head, event = [], "", ""
    for number, text in enumerate(texts(count)):
        files = make(text, number, head, event, "0" * 32)
        head, event = files[1][2], files[2][2]
        logs.append(b"".join(data + name.encode() for _, data, name in files))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    times = [time.perf_counter()]
    for log in logs:
        os.write(fd, log)
        os.fdatasync(fd)
        times.append(time.perf_counter())
    longest = max(b - a for a, b in pairwise(times))
    print(json.dumps({"commit_us": (times[-1] - times[0]) / count * 1e6, "stall_us": longest * 1e6}))
