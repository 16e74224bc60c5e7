"""For tests, ours and yours: the contract that a storage backend must keep. Needs pytest and hypothesis."""
