"""The ledger: a pure function from (state, batch) to (write set, receipts, state root). Integers only.

The node knows four doors: ``admission.check`` (mempool), ``executor.execute_block`` (commit), ``queries`` of the
contracts (read), and iteration over the state (snapshots).
"""
