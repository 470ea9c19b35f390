"""Capture: sessions of agents brought into tracts, and back to files."""
