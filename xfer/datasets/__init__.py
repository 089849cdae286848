"""Prepared clips read back: frames, pairs, and their endless order."""
