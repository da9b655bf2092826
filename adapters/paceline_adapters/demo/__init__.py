"""The eight example roadmaps that the package ships, 227 concepts in all."""
