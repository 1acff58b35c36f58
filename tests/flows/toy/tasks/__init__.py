"""The stages of a toy project, on the real rooms under them."""
