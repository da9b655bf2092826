"""Every strategy with every executor, as processes on real servers."""
