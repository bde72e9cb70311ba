"""Which parts of an input an answer rests on, and whether such explanations are faithful."""
