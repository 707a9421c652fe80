"""TODO display"""
