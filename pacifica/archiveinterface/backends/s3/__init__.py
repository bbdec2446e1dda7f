"""The backend that keeps files as objects of an S3 store, on disk and in archive classes."""
