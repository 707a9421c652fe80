"""The terminal: commands, progress, and what a person reads when something goes wrong.

Nothing in here decides what is published or in which order: it asks `publisher.planning.plans` and
`publisher.engine.worker`, and draws what they report.
"""
