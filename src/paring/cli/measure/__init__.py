"""Accuracy and latency for a command's table."""
