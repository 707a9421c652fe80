"""Seeded random attacks: what a hostile registry, project folder or bundle may send, in `values`, `replies`, …

Each case is made from the seed and its number alone, runs the program in this process (`program`), and holds it to the
same promises (`promises`).  A failure names its case and how to run that one alone (`cases`).

The generators are `random.Random` and not Hypothesis: a case here is a whole publish, described by the two or three
attacks in it, so there is little to shrink; and a number that stands for the same case in every process and release is
what a report of 100,000 cases needs.
"""
