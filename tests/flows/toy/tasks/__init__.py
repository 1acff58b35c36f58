"""The stages of a toy project, on the real shared packages."""
