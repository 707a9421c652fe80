"""`roar registry`: serving, accounts, and the registries that the user trusts."""
