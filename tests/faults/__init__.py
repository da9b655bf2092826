"""Parts that fail and return, processes that stop and die: the guarantees, with real parts."""
