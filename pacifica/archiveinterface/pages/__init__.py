"""Pages of the service itself, below ``/-/``."""
