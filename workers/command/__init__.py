"""The command ``runworker``: arguments, start, and several worker processes."""
