"""What belongs to the process and knows nothing of messages: forks, waking a thread, time limits, patches."""
