"""Object stores for `roar put`, which hold the artifacts themselves (protocol.md §9).

`store` defines the interface and its types. `s3`, `gcs` and `file` implement it, and `transfer` uploads one file
through it. A file is read twice and never held in memory: once by `digest`, which computes its hashes, and once by
`slices`, which sends it and stops if a hash or the file's stamp differs. All network traffic goes through `http`.
"""
