"""Published lineages as HTML."""
