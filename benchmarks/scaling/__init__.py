"""Parts of the benchmark of throughput: its scenes, what each measured process does, its page."""
