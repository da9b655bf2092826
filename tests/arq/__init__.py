"""The arq executor: its queue, its messages, its workers as processes."""
