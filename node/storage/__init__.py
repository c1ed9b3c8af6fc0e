"""What a node keeps: the chain and its state in a store, its promises in the journal."""
