"""`roar publish`, `register` and `put`: options, consent, the run, `--resume`, `--watch`, `--dry-run`."""
