"""--data: the readers of folders, tables, arrays, records and packaged samples."""
