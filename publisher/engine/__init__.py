"""Carrying out a publish.  `loop` is the architecture: state → step → event → checkpoint.  Begin there."""
