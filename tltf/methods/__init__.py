"""--method: the transfer methods, one file per family."""
