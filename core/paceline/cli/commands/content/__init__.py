"""Commands that show content, make it again and move it."""
