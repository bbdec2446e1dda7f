"""Tape in Oracle HSM: recalls, their end, and the release of disk copies."""
