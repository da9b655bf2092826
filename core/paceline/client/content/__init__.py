"""What a run takes over, and what is made again: adoption, import, revisions."""
