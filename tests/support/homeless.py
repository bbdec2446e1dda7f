"""Loaded before anything else by the process that others are forked from: their home directory has no configuration."""

import os

os.environ["HOME"] = "/nonexistent"
