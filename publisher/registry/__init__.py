"""The self-hosted GLaaS: an ASGI app over a SQLite store.

Of the client it imports only the wire (modules of `glaas`) and the canonical form (`lineage.canonical` and
`lineage.statement`); `SHARED_WITH_REGISTRY` in `tests/support/import_rules.py` names them.
"""
