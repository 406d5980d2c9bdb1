"""Forks, wake-ups, time limits and patches: matters of the process."""
