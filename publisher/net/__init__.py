"""The HTTP kernel: connections, the adaptive limit of requests, the network gate, proxies, certificates, pacing.

It knows no registry and no object store; `glaas` and `storage` are built on it.
"""
