"""Redaction of secrets in everything that leaves this machine."""
