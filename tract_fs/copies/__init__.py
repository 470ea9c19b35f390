"""Copies of a store: the sync of two stores, and bundles, which carry one in a single file.

- sync: the union of two stores. bundle: what goes into a bundle, and what one brings; bundle_file: its bytes.
- unrelated: refuses to mix two projects.
"""
