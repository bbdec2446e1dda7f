"""The programs of the administrator."""
