"""`roar daemon`: run, start, stop, status, logs, install."""
