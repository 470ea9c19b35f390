"""Benchmarks: what tract_fs costs beside bare file operations, beside SQLite, and beside the tools that one might use instead.

`python -m benchmarks` runs all of them at a small size and prints one table; `--full` takes the sizes that the targets are stated
for, `--only` a choice of groups. Every ratio is of numbers from the same rounds on the same machine; none is of another run.
"""
