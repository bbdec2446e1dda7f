"""What the tests share: services and other real programs that they start, and ways to look at them."""
