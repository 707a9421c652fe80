"""Reading what roar recorded, and turning it into what is published. Begin with `plan.py`.

`database` reads roar.db, `targets` finds what is meant, `selection` its jobs; `builder` and `batches` make units of
them; `canonical` computes the lineage hash. `redaction` takes secrets out of every text, and `git` asks the repository.
"""
