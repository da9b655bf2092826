"""What a plugin implements, and the data it sees."""
