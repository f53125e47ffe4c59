"""Attribution for texts: scores of tokens, the deletion test, and words replaced."""
