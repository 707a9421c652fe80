"""TODO lineages"""
