"""Sends the units of a plan (begin with `pipeline`), and stores the objects of a put (begin with `uploader`)."""
