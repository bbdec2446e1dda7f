"""The backend that keeps files in IBM HPSS, on disk and tape."""
