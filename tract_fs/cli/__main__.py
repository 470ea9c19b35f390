"""Lets `python -m tract_fs.cli` do what `tract` does."""

import sys

from tract_fs.cli import script

sys.exit(script())
