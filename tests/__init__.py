"""The tests, in the folders of the package that they are about; `support` and `conftest` hold what they share."""
