"""The background daemon, which publishes queued and interrupted work.

One process runs for each state folder. A lock, which the kernel drops when the process dies, enforces that. The
journals hold the state; this package only decides which publish is next and when, and passes it to
`publisher.engine.worker`.
"""
