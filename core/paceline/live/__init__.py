"""Live progress for many clients: one bus subscription and one event log per run.

A server makes one ``Hub`` on its event loop, and one ``Feed`` per client.
"""
