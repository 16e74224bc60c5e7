"""Real counterparts for tests, shipped so that others can test their own code and backends with them."""
