"""How the cost of a call grows with the number of messages, channels, members, waiting threads, shards and bytes."""
