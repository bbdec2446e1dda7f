"""Writing objects: in one call or in parts, and publishing them."""
