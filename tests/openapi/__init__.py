"""The description of the interface, and whether the service keeps to it."""
