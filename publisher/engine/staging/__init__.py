"""Sends units: their wire format, their order, and their acknowledgements."""
