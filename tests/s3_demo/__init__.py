"""Many nodes on one S3 store, on one machine: to try out, and for the tests."""
