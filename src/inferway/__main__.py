"""`python -m inferway`: the command line."""

from inferway.cli import main

if __name__ == "__main__":
    main()
