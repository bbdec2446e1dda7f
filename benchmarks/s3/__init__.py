"""The service on an S3 store, compared with clients that go straight to the same store: ``python -m benchmarks.s3``."""
