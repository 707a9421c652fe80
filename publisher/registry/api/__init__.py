"""The endpoints.  `app` puts them together."""
