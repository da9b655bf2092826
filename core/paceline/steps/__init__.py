"""Steps: what is made for each concept."""
