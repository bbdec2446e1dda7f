"""HTTP without a server or a framework."""
