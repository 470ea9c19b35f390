"""Calls on one tract: reading, writing, compiling, branches, merging. Each works on an open session; `tract` lists them
all.
"""
