"""A chat: Channels 4 for websockets, and synchronous code that sends to its rooms."""
