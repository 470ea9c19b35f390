"""The index: what this copy knows of its store in one SQLite file, `index.db`, so that an answer need not read the store.

`file` owns the connection and the schema, and discards a file that is damaged; `records`, `members` and `configs` each own some tables.
Nothing here is truth: what a row names is checked where it is read, and what the index does not have is checked by counts and sums.
"""
