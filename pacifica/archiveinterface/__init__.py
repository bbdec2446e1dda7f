"""The Pacifica Archive Interface: a REST service in front of hierarchical storage."""
