"""`python -m hfmm`, and `accelerate launch -m hfmm run RECIPE`."""

from hfmm.cli.main import main

if __name__ == "__main__":
    main()
