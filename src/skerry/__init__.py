"""Skerry: a compute network for AI whose every step anyone can recompute bit for bit."""

__version__ = "0.1.0"
