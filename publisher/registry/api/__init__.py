"""TODO api"""
