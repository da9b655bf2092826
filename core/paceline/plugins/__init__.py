"""Hooks for plugins, and the registry that finds plugins."""
