"""The core of a publish: its states, checkpoints, units and ownership.

Begin with `machine` (states and events), `record` (the plan and what the steps learn) and `journal` (the checkpoints).
`units`, `objects`, `queue` and `debts` are parts of the journal, `journal_file`, `schema`, `tables` and `migrations`
its SQLite file. `paths`, `lock` and `publish` say where a publish is and who owns it; `status`, `status_reader` and
`status_poller` read it without owning it; `sweep` removes what killed processes left. `errors`, `reasons` and
`meanings` hold every error and code. `portable`, `bundle` and `foreign_journal` move a publish to another machine. The
rest is what these need of the operating system.

This package does not know HTTP, roar's files or terminals, and imports nothing from `publisher`.
"""
