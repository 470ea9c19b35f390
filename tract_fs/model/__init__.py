"""The pure model: values in, values out. Nothing here reads a disk, a clock or a random source.

Read in this order; each module imports only from those before it:

- names: hashes, tract ids, branch names, times.
- canonical: JSON values to canonical bytes and back. fields: the fields of values that may have any type.
- shapes: the forms of provider messages. content, blobs, media: contents, raw bytes, and what is inside a message.
- objects, events, usage: what is stored, as immutable structs: commits, and the events that bring them.
- history, reach, lineage, lines: walks over one history, and over what several have in common.
- view, incomplete: heads, tags and pending events of a tract, as a function of its events.
- conflicts, merge: how lines are joined, and where they disagree.
- tokens, messages, snapshot: token counts, one message, the compiled context.
- slots, arrangement, condensing, compiler: the replay of a history into a context. fitting, payloads: a shorter one.
- alignment, diff, comparison, blame, explanation: what is asked about contexts.
- query, query_text, query_groups, config_query: expressions about commits, their syntax, sums, and predicates over
  configs. search: the searchable text of contents.
- providers, with exports and tool_order: contexts as providers take them.

The rest serves single calls: damage (diagnosis of bad bytes), members (what the bytes of a file are), refs (names of
commits, parsed), text_edits, and the values that the facade returns: info, exchange (syncs and bundles), status (and
repairs and packs).
"""
