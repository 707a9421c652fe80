"""`roar verify`: the command line and what it prints."""
