"""Checks of who may connect, as in ``channels.security`` of Channels 1.1.8."""
