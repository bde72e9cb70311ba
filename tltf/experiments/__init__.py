"""One whole run, and many."""
