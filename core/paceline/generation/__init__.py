"""The generation of one run: its concepts, their steps, and what is saved of them."""
