"""The CherryPy application: its routes, and the resource in applications of others."""
