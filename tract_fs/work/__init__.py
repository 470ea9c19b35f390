"""Calls on one tract. Each works on an open session; `tract` lists them all.

What a call decides by rule is in the module of the same name in model/: merge, diff, fitting, text_edits, search.

- session: what an open tract consists of; guard: which calls may run; overlay: the view and the open batch as one.
- reader: commits, contents, refs; log_filter, reflog, queries, search, usage, watch: more to ask.
- contexts: compiles and their cache; diff, explaining, other_heads, fitting: what is made of them.
- writer: validates and stages commits; batch, import_stream, text_edits, cherry_pick, summaries: ways to make them.
- branches: all moves of a branch but commits (reset, undo, delete), tags, forks; merge, resolutions: joins.
"""
