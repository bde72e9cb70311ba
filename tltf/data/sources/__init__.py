"""The sources of --data: readers of folders, tables, arrays, records and packaged samples."""
