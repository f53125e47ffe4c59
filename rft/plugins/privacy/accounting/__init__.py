"""What private training spends, by several accountants, and how a report states it."""
