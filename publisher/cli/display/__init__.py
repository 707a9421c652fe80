"""What a terminal shows: progress, plain lines, JSON lines, tables."""
