"""What HTTP means to the whole registry: refusals, client addresses, host names, bounds of answers."""
