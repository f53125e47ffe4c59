"""Training with differential privacy: what a step draws, clips and adds, the loop, and the test of both."""
