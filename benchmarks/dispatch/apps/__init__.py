"""
One module for each kind of worker, to be imported in its environment only.

It has the consumer, and ``send(sent)``, which sends one message with the time ``sent`` in it, as an application of
that kind would. Each has the configuration that its documentation gives for many short tasks: no results, no retries,
no log. The reasons are next to the settings; the command lines are in ``subjects.py``.
"""
