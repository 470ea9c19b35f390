"""Benchmarks: what tract_fs costs beside bare file operations and beside SQLite.

`python -m benchmarks` runs all of them at a small size and prints one table. Every number stands beside a baseline that
ran in the same rounds on the same machine; no number is compared with one of another run.
"""
