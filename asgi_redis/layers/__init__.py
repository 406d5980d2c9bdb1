"""The channel layers: one file for each back end."""
