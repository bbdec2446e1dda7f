"""Header fields of requests and answers, read and written."""
