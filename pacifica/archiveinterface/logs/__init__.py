"""What the service writes to standard error: a line for each request, and its own messages."""
