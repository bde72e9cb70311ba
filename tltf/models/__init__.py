"""What a user holds: build, load, save, predict, adapters."""
