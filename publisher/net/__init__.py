"""The HTTP layer: connections, the adaptive request limit, the network gate, proxies, certificates, pacing.

Begin with `exchange`: one request, one reply. `retry` repeats it by the rules of `policy`; `gate` and `limit` decide
when it is sent; `route`, `transport`, `proxies` and `certificates` are the way to a host. It knows the address of a
registry, but no protocol of a registry or a store. `glaas` and `storage` are built on it.
"""
