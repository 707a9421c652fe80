"""The core of a publish: its states, checkpoints, units and ownership.

This package does not know HTTP, roar's files or terminals, and imports nothing from `publisher`.
"""
