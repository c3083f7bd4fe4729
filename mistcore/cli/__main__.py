"""`python -m mistcore.cli`."""

from mistcore.cli import main

if __name__ == "__main__":
    main()
