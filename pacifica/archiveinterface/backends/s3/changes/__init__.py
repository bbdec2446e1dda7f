"""Changes of stored objects: moves, removals, and what is learnt of them later."""
