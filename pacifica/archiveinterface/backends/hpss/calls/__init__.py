"""Calls to HPSS: the client library, one login for a process, and threads whose number is limited."""
