"""The node: the one place where agreement, ledger, network and disk meet; it performs effects and knows no protocol."""
