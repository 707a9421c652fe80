"""The HTTP layer: connections, the adaptive request limit, the network gate, proxies, certificates, pacing.

It knows neither registries nor object stores. `glaas` and `storage` are built on it.
"""
