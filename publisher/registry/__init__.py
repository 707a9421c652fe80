"""The self-hosted GLaaS: an ASGI app over a SQLite store.

From the client's packages it imports only `glaas.protocol`, `glaas.wire`, `glaas.batches`, `glaas.decoding`,
`glaas.features`, `glaas.signature` and `lineage.canonical`.
"""
