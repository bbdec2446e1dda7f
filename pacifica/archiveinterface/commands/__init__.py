"""The programs that run on the server: the service itself and the administrator's tool."""
