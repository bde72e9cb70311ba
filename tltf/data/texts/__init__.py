"""Texts: tokens, and changed copies."""
