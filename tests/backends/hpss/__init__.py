"""Tests of the HPSS simulator, of the extension that calls HPSS, and of the backend on both."""
