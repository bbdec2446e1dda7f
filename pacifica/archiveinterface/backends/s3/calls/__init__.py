"""Calls to the store: one client of boto3 for each process, and its errors as ours."""
