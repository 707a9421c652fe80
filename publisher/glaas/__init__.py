"""The GLaaS client: wire format, calls, replies and signatures.

Begin with `client`. `answers`, `acceptance`, `replies`, `field_readers` and `features` read what a registry says.
`request_dicts` is what a client sends; `wire`, `batches` and `decoding` are how a registry reads that. `signature`,
`verifying` and `envelope` are the SSH signatures of requests and receipts.
"""
