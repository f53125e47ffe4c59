"""Epsilon from below: audits with randomised canaries, which can refute a claim and cannot prove one."""
