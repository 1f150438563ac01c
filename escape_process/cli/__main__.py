"""Lets `python -m escape_process.cli` stand for `escape-process`."""

from escape_process.cli import main

if __name__ == "__main__":
    main()
