"""Sending units: what each one is on the wire, in which order they may go, and how they are acknowledged."""
