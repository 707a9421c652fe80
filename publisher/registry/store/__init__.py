"""The registry's tables: all SQL is here, in one module for each group of tables.

The modules of the tables offer typed functions over plain values, which run inside a transaction of `database`, the
port to the SQL engine. Their SQL is the same for every engine. Also here are the thread that runs the transactions
(`worker`) with its queues, and the protection of the files (`private_data`).
"""
