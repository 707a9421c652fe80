"""Credentials and their choice: who publishes, and how a request proves it.

`decide` is the rule, and `rules` its tables; `scope` reads what the repo's configuration says; `bearer` keeps roar's
sign-in state; `own_key`, `sshkey` and `agent` sign requests; `keyring` holds all of them for one run; `identity` names
the creator for the lineage hash.  Only `keyring` and `login` ask the registry, through the caller that they are given.
"""
