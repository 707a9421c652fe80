"""Credentials: the choice among them, and the signing of requests.

`decide` chooses by the tables of `rules`. `scope` reads the repository's configuration. `bearer` keeps roar's sign-in
state; `sshkey` and `agent` sign. `own_bearer` and `own_key` hold this user's bearer and key during one run, and
`keyring` combines them. `identity` names the creator for the lineage hash. Requests to the registry go through the
caller that is passed in.
"""
