"""Texts: their tokens and changed copies."""
