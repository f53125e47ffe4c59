"""What the rules of a policy say about findings."""
