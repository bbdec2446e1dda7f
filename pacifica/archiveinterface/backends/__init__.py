"""The storage systems the service can stand in front of, and how they are named."""
