"""The backend for Oracle HSM (SAM-QFS): POSIX, and a question to the sideband database."""
