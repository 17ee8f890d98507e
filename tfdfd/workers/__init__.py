"""Worker processes: clips handed out one by one, faults survived."""
