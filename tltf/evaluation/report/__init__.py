"""The report of a run: report.json, report.md and report.html."""
