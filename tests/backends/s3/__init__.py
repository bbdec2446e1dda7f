"""Tests of the S3 backend, on real stores."""
