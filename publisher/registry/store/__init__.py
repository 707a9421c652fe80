"""The registry's tables: all SQL is here, in one module for each group of tables.

The modules of the tables offer typed functions over plain values, which run inside a transaction of `database`. Another
SQL engine needs its own `database` (transactions, errors) and `files` (opening, settings, space), a translation of
`schema` and `accounts_schema`, and its form of what only SQLite has: `json_each` for lists of parameters, `REPLACE` and
`OR IGNORE`, and in `canonical_texts` and `label_versions` the functions that SQL calls.
"""
