"""Whether a recogniser understands all alike: error rates by group of speakers, and the gaps between them."""
