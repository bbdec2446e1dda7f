"""The tape API."""
