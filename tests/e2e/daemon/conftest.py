"""What the tests of the daemon share."""

import logging

import pytest


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """A logger whose records `caplog` has."""
    caplog.set_level(logging.INFO)
    return logging.getLogger("tests.daemon.ended")
