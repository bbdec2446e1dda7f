"""The WLCG Tape REST API, version 1: bulk recalls over HTTP, on top of the recall service."""
