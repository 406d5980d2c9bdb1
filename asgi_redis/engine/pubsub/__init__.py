"""Redis pub/sub: publishing, and the connections and buffers of the channels that are subscribed to."""
