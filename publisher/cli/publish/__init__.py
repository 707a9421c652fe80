"""TODO publish"""
