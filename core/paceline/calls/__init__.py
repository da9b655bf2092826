"""Calls to models: admission, retries, repairs, fallback, and what they cost."""
