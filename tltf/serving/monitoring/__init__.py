"""Live rows of a run compared with its reference rows: tests, alarms, the state between looks, a page."""
