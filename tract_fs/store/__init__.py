"""The store: everything that touches a disk. Its words, in the order in which a reader meets them:

File: the bytes of one object, one event or one pack. It never changes, and its name is the SHA-256 of its bytes.
Object: a content or a commit, as canonical JSON.
Event: one transaction of a tract, as canonical JSON. Its file makes the transaction stand.
Address: what a file is: its kind, its hash, and the tract of an event. `address` is the only way from one to a path.
Fan: one of the 256 directories that loose files are spread over, by the first byte of their hashes.
Loose: in a file of its own; the others are members of a pack.
Pack: many objects and events in one file, one per line. A member is one of these lines.
Unknown file: what lies in a store under any other name. It is listed, never read as data, never moved.
Place: this copy's own directory in `local/`. Nothing in `local/` is opened before the name of its place is proved.
Redo log: the bytes of recent files once more, so that one sync makes a transaction durable.
Arrivals: the list of the events this copy knows, in the order of their arrival; writers append to it under the lock.
Record: one entry of arrivals: an event, a commit that an event brought, or a usage.
Row: the same in the index, where it can be looked up.
Index: one SQLite file with what can be looked up and rebuilt: rows of records, places of pack members,
configs, texts.
View: what the visible events of a tract amount to: branches, heads, tags. A saved view is a file beside arrivals.
Pending: an event that waits for a parent or an object.
Gone: an event that this copy knew and that is not visible now. It is missed, unless a checkout by git, a power cut or the user
explains it.
Origins of a commit: the visible events that brought it. They carry its config and token counts.
Snapshot: the compiled state of one head, on disk.
Suspect: a file whose bytes did not hash to its name when it was read.
Quarantine: where a writer moves a damaged file, with a note of what is wrong.

Modules import downward only: `files` and `lock` alone call the operating system; then place, redo log and packs; then objects and events; then
arrivals, index and origins; then the log of one tract; `store` at the top opens, locks and writes.
"""
