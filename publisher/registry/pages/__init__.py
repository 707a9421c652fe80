"""HTML pages of published lineages."""
