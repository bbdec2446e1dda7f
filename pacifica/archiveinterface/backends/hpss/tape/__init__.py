"""Tape in HPSS: recalls, and the release of disk copies."""
