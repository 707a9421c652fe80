"""`roar fetch`."""
