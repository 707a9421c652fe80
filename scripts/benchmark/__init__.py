"""Benchmarks: the same synthetic project, published by roar-cli, by us and by a bare client loop to the same server."""
