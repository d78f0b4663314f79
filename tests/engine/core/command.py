"""The command line as a module, for torchrun."""

from simtool.cli.main import main

if __name__ == "__main__":
    main()
