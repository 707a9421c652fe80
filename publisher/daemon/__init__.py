"""The background runner: publishes that look after themselves.

One process a state folder, by a lock that the kernel drops on death.  The journals are the truth; what is in here
decides who is next and when, and hands each publish to `publisher.engine.worker`.
"""
