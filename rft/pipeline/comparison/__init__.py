"""What differs between two finished runs, and which differences are for the worse."""
