"""Proving a published lineage: read it back, compute its hash, and name what differs. Begin with `check.py`."""
