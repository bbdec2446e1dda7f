"""The description of the REST interface as OpenAPI 3.1 has it."""
