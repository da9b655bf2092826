"""Ledgers: what workers share."""
