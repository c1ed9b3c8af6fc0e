"""The reliability page: campaigns are run and recorded as data, and the page is written from the records alone."""
