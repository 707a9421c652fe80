"""GLaaS as a client sees it: the wire, the client, its retries, its signatures."""
