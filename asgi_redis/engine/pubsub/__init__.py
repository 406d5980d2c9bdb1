"""Redis pub/sub: publishing, and the subscriptions of a process."""
