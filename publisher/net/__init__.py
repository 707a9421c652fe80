"""TODO net"""
