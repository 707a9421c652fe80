"""HTTP code that the whole registry shares: refusals, client addresses, host names, bounds of replies."""
