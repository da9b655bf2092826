"""The arithmetic of limits that several workers share: no clock, no waiting, no state elsewhere.

A ``Book`` is what is known of one limit. ``lua/ledger`` of the Redis adapter is the same, step
by step; a test drives both with the same questions and compares the answers. All times are
whole milliseconds of a clock that never falls.
"""
