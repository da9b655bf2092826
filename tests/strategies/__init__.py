"""Strategies: when may work start?"""
