"""hesscore beside everything else that computes the same: ``hesscore bench``.

Each library runs in a process of its own, `worker.py`, under an interpreter of its own; modules
that start with `side_` say how it computes what `rows.py` lists. The folder is installed as
``hesscore.peers``. What a worker imports must do without hesscore.
"""
