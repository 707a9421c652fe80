"""Checking published lineages with their objects: from what is asked for to the verdict. Begin with `service.py`."""
