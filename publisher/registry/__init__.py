"""The self-hosted GLaaS: an ASGI app over one SQLite store.

Of the client it imports only `glaas.wire`, `glaas.features`, `glaas.signature` and `lineage.canonical`.
"""
