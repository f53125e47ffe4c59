"""What the proof of privacy takes for granted, tried on the objects that train."""
