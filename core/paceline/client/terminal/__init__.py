"""What commands show and do on a terminal, for the built-in commands and those of plugins."""
