"""The GLaaS client: wire format, calls, replies and signatures."""
