"""The service as a CherryPy application."""
