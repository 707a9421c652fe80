"""One module a state: a step does the work of its state and returns what it found out."""
