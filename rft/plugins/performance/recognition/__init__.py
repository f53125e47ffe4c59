"""How well a recogniser transcribes: error rates, and how they change from one run to another."""
