"""The interface and its workers, Channels 4, the classic stack and Django's own ways to serve."""
