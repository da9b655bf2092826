"""Finding plugins and making parts of them."""
