"""What watches a network: the alert rules and the board that `gridbft metrics` prints."""
