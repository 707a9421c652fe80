"""From a request to its result: what the Python API and the command line both do, without a terminal."""
