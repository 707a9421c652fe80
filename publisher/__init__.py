"""Publishes the lineage that roar captured to GLaaS: journaled, resumable, exactly once."""

__version__ = "0.1.0"
