"""OpenAI, and whatever speaks its chat completions."""
