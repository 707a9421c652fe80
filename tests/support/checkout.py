"""Where the tests find the repository and their recorded data."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TESTS = CHECKOUT / "tests"
DATA = TESTS / "data"
PROJECTS = DATA / "projects"
"""Captured projects, each with the requests that roar-cli 0.4.7 sent for it."""
