"""Where memories are kept: the contract of a backend, and the local engine (SQLite, in the core)."""
