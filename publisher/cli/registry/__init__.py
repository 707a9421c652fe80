"""`roar registry`: serve, accounts, and the registries that this user trusts."""
