"""The project itself: its structure, packages, pages, deployment files, benchmarks and deployment suite."""
