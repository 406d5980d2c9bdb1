"""The monitor of the project's channel layers as a page for its staff."""
