"""Files that another implementation must judge as this one does; docs/verification.md says how to read them."""
