"""The POSIX backend."""
