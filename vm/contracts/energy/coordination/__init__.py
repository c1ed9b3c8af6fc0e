"""Homes agree on a day's trades without a coordinator: rounds of vectors, solved here in exact integers."""
