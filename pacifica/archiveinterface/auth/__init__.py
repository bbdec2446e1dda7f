"""Users: who asks, and what they may do. Knows no CherryPy; `web.users` asks it for each request."""
