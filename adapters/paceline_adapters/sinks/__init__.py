"""The built-in sinks: files in any file system, and signed webhooks."""
