"""The index: facts about the store in one SQLite file, `index.db`, so that an answer need not read the whole store.

`file` owns the connection and the schema, and discards a damaged file; `records`, `members`, `configs` and `texts` each
own some tables. Nothing here is truth: what a row names is verified where it is read, and counts and sums verify that no row is
missing.
"""
