"""The Python API, in this process and in others."""
