"""The check ``links``: every address of an answer works."""
