"""What runs at a home: sources of readings, a signer with its keys, a spool that survives, a client that trusts nobody.

A meter knows the ledger's transactions and the certificate check, and nothing of the validators' insides. Only
``meter.client`` touches the network; everything that it is told is verified offline against the genesis.
"""
