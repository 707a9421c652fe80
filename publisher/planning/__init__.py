"""TODO planning"""
