"""Tests of the recall service."""
