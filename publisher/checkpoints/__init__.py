"""Checkpoints of a training: handed over within milliseconds, published by the daemon.

    training loop ──▶ publisher ──▶ snapshot, record in waiting/ ──▶ feeder (in the daemon) ──▶ a put ──▶ done/

Everything is in `.roar/checkpoints` of the project, because roar does not record what a traced program does there:
elsewhere the queue itself would become an output of the training. docs/python.md describes what users see.
"""
