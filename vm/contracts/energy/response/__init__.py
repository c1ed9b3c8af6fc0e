"""Demand response: the utility announces, homes opt in or out, and what they draw below their baseline is paid."""
