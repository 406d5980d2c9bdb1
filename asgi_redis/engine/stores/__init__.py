"""Stores of messages without a server: in memory, and in shared files."""
