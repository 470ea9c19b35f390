"""The store: the only code that touches a disk."""
