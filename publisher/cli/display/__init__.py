"""Terminal output: progress, plain lines, JSON lines, tables."""
