"""Lineages: staging, finalize, legacy writes, labels, reading."""
