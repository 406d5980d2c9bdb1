"""The worker compared with that of Channels 4 and with task queues."""
