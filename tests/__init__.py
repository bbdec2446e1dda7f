"""The tests; `support` and `conftest` hold what they share."""
