"""The arithmetic of limits that several workers share: no clock, no waiting, no global state.

A ``LeaseTable`` holds the state of one limit. The scripts in ``lua/ledger`` of the Redis adapter
do the same, step by step. A test drives both with the same calls and compares the results. All
times are whole milliseconds of a clock that never goes backwards.
"""
