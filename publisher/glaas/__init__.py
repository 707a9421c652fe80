"""The GLaaS client: wire format, calls, retries and signatures."""
