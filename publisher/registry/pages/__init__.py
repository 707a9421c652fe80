"""TODO pages"""
