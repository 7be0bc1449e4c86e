"""Paring pares convolutional networks down to a file you can measure and a program you can time."""

__version__ = "0.1.0"
