"""The arq executor: queue, messages, and real worker processes."""
