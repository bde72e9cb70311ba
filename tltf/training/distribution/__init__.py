"""Strategies of devices and machines."""
