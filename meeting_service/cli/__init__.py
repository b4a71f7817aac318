"""The command line: `meetings COMMAND ...`."""
