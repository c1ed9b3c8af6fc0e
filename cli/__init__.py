"""The command line of gridbft: data on standard output, talk on standard error, one line for every refusal."""
