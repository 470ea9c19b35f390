"""Upkeep of a whole store: status, repair, adopting what waits, packing. None of it changes what a store contains."""
