"""`python -m svcdoctor` is the same program as `svcdoctor`."""

from svcdoctor.cli import main

main()
