"""`python -m hfmm.cli`, the same as `python -m hfmm`."""

from hfmm.cli.main import main

if __name__ == "__main__":
    main()
