"""One module per state. A step does the work of its state and returns the outcome."""
