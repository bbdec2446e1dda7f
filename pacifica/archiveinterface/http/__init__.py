"""HTTP as functions of headers and statuses: nothing here imports CherryPy."""
