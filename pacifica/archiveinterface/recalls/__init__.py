"""Recalls from tape: who asked for what, in a database, and the one process that has it done."""
