def error(s, t):
    return float(abs(s.mean() - t.mean()))
