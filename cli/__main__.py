"""`python -m cli` is `gridbft`, for processes that know their interpreter and not their path."""

from cli.entry import main

if __name__ == "__main__":
    main()
