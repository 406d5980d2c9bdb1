"""A chat: Channels 4 for the websockets, and plain synchronous code that speaks in its rooms."""
