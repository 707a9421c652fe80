"""What a CI job runs, as the same shell, and the files that make it run."""
