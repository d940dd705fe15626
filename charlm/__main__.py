"""`python -m charlm` is `charlm`."""

from charlm.cli.main import main

if __name__ == "__main__":
    main()
