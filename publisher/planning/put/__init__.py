"""`roar put`: which files go where, and the lineage that tells of them.  Planning only; nothing here uploads."""
