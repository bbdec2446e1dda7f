"""Archive storage classes: what can be read, and restores."""
