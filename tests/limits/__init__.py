"""Tests of the limits: quotas, requests a second and transfers at a time."""
