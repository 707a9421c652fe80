"""`roar journal`: list, show, cancel, retry, prune, export, import."""
