"""Credentials and their choice: who publishes, and how a request proves it.

`decide` is the rule, and `rules` its tables; `scope` reads what the repo's configuration says; `bearer` keeps roar's
sign-in state; `sshkey` and `agent` sign; `own_bearer` and `own_key` are what this user has of each in one run, and
`keyring` is both; `identity` names the creator for the lineage hash.  What must be asked of the registry goes through
the caller that is handed in.
"""
