"""`python -m panless`."""

from panless.cli import main

main()
