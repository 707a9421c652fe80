"""git, run on repositories that may be hostile: the repository, commit and branch of a lineage."""
