"""A classic chat: plain synchronous consumers, for Django's views and for websockets."""
