"""Worlds written down and read again, and what is blanked out of them."""
