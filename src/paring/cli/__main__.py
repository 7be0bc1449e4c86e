"""``python -m paring.cli``: the command line where only a module can be named, as torchrun -m wants it."""

from paring.cli import main

main()
