"""Empirical lower bounds on epsilon: audits with randomised canaries, which can refute a claim and cannot prove one."""
