"""How often Python's garbage collector looks for cycles in a registry."""

import gc

YOUNG, MIDDLE, OLD = 50_000, 20, 20
"""Thresholds (`gc.set_threshold`). A batch is tens of thousands of objects, none of which is in a cycle: with the usual
700, a tenth of the time in which a registry stages would go into looking for some."""


def collect_rarely() -> None:
    """Look at few objects, and rarely: what was imported and built so far stays."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
