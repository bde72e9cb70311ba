"""Advice: what the data is like, which networks and flags suit it, and what more labels would be worth."""
