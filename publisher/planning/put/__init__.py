"""`roar put`: which files are stored where, and the lineage that describes them. Plans only; nothing here uploads."""
