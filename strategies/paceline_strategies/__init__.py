"""Built-in admission strategies of paceline."""
