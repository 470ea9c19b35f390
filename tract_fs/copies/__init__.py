"""Copies of a store: the sync of two stores, and bundles, which carry one in a single file."""
