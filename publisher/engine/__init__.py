"""Executes a publish. Start reading at `loop`, which runs the cycle state → step → event → checkpoint."""
