"""The backend for Oracle HSM (SAM-QFS): files through POSIX, their residency from libsam or the sideband database."""
