"""Finished runs beside each other: on the rows that all of them were judged on."""
