"""No frozen layer is computed twice: outputs of a frozen prefix, their store, the cache."""
