"""TODO daemon"""
