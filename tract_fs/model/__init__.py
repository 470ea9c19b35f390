"""The pure model: values in, values out. Nothing here reads a disk, a clock or a random source.

Read in this order; each module imports only from those before it:

- names: hashes, tract ids, branch names, times.
- canonical: JSON values to canonical bytes and back.
- content, objects, events: what is stored, as immutable structs: contents, commits, and the events that bring them.
- history, reach: walks over one history, and over what several have in common.
- view: heads, tags and pending events of a tract, as a function of its events.
- conflicts, merge: how lines are joined, and where they disagree.
- tokens, messages, snapshot: token counts, one message, the compiled context.
- slots, arrangement, condensing, compiler: the replay of a history into a context.
- alignment, diff: what differs between two contexts.

The rest serves single calls: damage (diagnosis of bad bytes), members (what the bytes of a file are), refs (names of
commits, parsed), config_query (predicates over configs), and the values that the facade returns: info, exchange (syncs
and bundles), status (and repairs and packs).
"""
