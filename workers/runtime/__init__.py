"""The running of messages: receiving, slots, dispatching, and an orderly stop."""
