"""What the service counts and times; `pages.metrics` exposes it."""
