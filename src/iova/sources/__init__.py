"""Readers of kernel traces."""
