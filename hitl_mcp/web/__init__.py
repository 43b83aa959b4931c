"""The approval server over HTTP: the REST API, the pages and their assets."""
