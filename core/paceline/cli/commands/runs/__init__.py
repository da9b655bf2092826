"""Commands that start runs, follow them and stop them."""
