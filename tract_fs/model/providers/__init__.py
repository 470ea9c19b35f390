"""Exports to providers: one neutral form of a conversation, and for each provider what reads and writes its own.

A message is read into a turn of parts (`parts`), by the module of its shape. The turns are put into an order that every
provider accepts (`turns`) and written by the module of the provider. There is no converter from one shape to another: a
block that goes back to its own provider goes as it is, any other is made from the part. Nothing here reads the store.

To add a provider: name it in `shapes.Shape` and `parts.PROVIDERS`. Write a module with its `SHAPE`, the functions that
read its blocks, which `reading` calls, and `emit`, which `export` lists. Then fill its rows in the tables of `settings`,
`tools` and `cache`, and add to `request` where a request has the system's part. Its own `to_…()` is in model/snapshot.
"""
