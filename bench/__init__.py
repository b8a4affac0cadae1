"""What OTS is measured against, side by side with its peers in one run: `python -m bench --help`."""
