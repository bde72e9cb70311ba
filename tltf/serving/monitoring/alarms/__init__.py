"""Alarms, each of which reads a look at live rows and says whether it rings."""
