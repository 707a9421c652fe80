"""The command line: commands, progress, and error messages.

This package does not decide what is published or in which order. It calls `publisher.planning.plans` and
`publisher.engine.worker`, and displays what they report.
"""
