"""The recaller: the one process that has files recalled, and what it does in each turn."""
