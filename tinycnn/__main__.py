"""`python -m tinycnn` is the command `tinycnn`."""

from tinycnn.command import main

main()
