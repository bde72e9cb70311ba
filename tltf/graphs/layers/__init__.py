"""Trainable parts that are added to built layers: LoRA, adapters, prefixes, IA3 factors."""
