"""Checks the values of an imported bundle, and shows what it would touch, before it is stored."""
