"""From words on the command line to networks, data and teachers."""
