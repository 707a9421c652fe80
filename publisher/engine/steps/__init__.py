"""One module per state, and what they share. A step does the work of its state and returns the outcome."""
