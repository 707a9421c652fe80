"""Credentials: the choice among them, and the signing of requests.

`decide` chooses by the tables of `rules`, from the inputs in `choice`. `scope` reads the repository's configuration.
`bearer_store` and `signin` keep roar's sign-in state; `sshkey` and `agent` sign. `user_bearer` and `user_key` hold the
user's bearer and key during one run, and `keyring` combines them. `send_policy` says which registry may get what, by
the registries in `trust`. `identity` names the creator for the lineage hash. Requests to the registry go through the
client that is passed in.
"""
