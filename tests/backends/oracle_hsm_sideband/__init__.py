"""The Oracle HSM backend, on the emulator and a real database."""
