"""The heart of a publish: its states, its checkpoints, its units and its ownership.

Nothing in this package knows of HTTP, of roar's files or of terminals, and nothing in it imports `publisher`.
"""
