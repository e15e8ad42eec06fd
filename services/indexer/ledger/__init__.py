"""The durable ledger: what was accepted, what is to be done, what is indexed.

Functions take a `Connection` and are run by `Database.read` and `Database.write`, one transaction
each; what belongs together happens in one of them.
"""
