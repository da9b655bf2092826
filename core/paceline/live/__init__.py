"""Progress for many watchers: one reader of the bus per run, one bounded log, any number of feeds.

A server makes one ``Hub`` on its event loop and asks it for a ``Feed`` per client.
"""
