"""The SQLite layer: the database file, its tables, its worker thread, and quotas."""
