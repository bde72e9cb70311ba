"""Light heads on frozen features: families of small models that are fitted in seconds."""
