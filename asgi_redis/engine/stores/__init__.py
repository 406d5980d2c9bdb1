"""Stores that keep messages without a server: in memory, and in files that processes share."""
