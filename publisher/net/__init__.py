"""The HTTP layer: connections, the adaptive request limit, the network gate, proxies, certificates, pacing.

It knows the address of a registry, but no protocol of a registry or a store. `glaas` and `storage` are built on it.
"""
