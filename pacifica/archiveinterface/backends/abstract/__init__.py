"""What every backend is and owes."""
