"""The HTTP endpoints. `app` assembles them."""
