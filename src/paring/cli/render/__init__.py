"""Tables, JSON and plots."""
