"""Tests of the self-hosted registry."""
