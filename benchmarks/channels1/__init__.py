"""The classic stack of daphne 1.4.2 and Channels 1.1.8, with old and new layer."""
