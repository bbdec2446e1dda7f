"""What every backend promises, and backends of other packages."""
