"""AUGMENTS: random changes of training inputs, joined with `|`."""

AUGMENTS = {}
