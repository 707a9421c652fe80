"""TODO accounts"""
