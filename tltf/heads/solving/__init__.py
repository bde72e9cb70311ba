"""The convex problem of a head on frozen features, solved without steps."""
