"""The command line: commands, progress, and error messages.

This package does not decide what is published or in which order. It calls `publishing`, `checking`, `fetching`,
`daemon` and `registry`, and displays what they report.
"""
