"""Attribution for recordings: stretches of time and bands occluded, with checks, and swaps of what is suspected."""
