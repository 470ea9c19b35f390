"""Upkeep of a whole store: status, repair, adopting what waits, packing. None of it changes what a store contains.

- status: fills the report of one tract (model/status). lost_blobs, salvage: what it looks for.
- repair: verifies all files; adopt: brings back what waits for an event that is gone for good.
- pack: makes packs by pack_plan; settled, own_files: which files may be removed after it.
"""
