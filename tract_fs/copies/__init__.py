"""Copies of a store: syncing two stores, and bundles that carry one on a stick."""
