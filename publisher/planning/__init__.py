"""From a captured project, or a bundle, to a frozen plan in a journal."""
