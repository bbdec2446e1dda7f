"""Found before psycopg: a process that starts here takes it for not installed."""

raise ImportError("psycopg is not installed, as far as this process knows")
