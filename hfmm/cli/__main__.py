"""Entry point of `python -m hfmm.cli`, which is the same as `python -m hfmm`."""

from hfmm.cli.main import main

if __name__ == "__main__":
    main()
