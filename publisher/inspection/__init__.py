"""Inspecting the objects of a published lineage: are they in their stores, with the bytes that the lineage names?"""
