"""Tables of figures, made up."""

from benchmark.table import Figure, Machine, Table

MACHINE = Machine("host", "a processor", 4, "Linux", "3.11.7", "2026-01-02", "abc1234")


def ratio_of(name: str, *values: float, group: str = "publish") -> Figure:
    """A ratio that is better if it is lower."""
    return Figure(name, group, values, "x", "lower")


def rate_of(name: str, *values: float) -> Figure:
    """A ratio that is better if it is higher."""
    return Figure(name, "publish", values, "x", "higher")


def table_of(*figures: Figure, machine: Machine = MACHINE) -> Table:
    """A table of these."""
    return Table(machine, figures)
