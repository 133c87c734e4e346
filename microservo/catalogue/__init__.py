"""The catalogue: what the topics say of runs, faults, algorithms and the manager, as tables of SQL.

It is a projection: nothing is in it that is not on the topics, so it can be dropped and made anew
(docs/decisions/0022-catalogue.md). `mapping` says which rows a record makes, and knows no database; `tables`
is the schema; `projection` brings both together; `reading` answers lists, if the tables are up to date.
"""
