"""What all backends share, and what each one has to provide."""
