"""The REST interface: requests and answers as values, and through a running service."""
