"""SQLite, below everything else: the database file, its tables, its one worker, quotas."""
