"""Fetching: what a published lineage put in object stores, verified and written below one folder (docs/fetch.md)."""
