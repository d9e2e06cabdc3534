"""`python -m latentreel` is the command."""

from jobs.cli import main

main()
