"""The backend that keeps files on a POSIX file system."""
