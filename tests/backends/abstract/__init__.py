"""What all backends inherit."""
