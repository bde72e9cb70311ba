"""--track: the trackers that a run is reported to, and what reports it to them."""
